// What is drawn: the photo, the marks (as the server will use them, and those that it has yet to hear of), the result.

import { address } from "./api.js";
import { mode, onChange, shownResult, state, step } from "./state.js";
import { drawStroke } from "./stroke.js";
import { fit, marksLayer, onView, photoLayer, pointerLayer, view, visible } from "./view.js";

const layers = [photoLayer, marksLayer, pointerLayer];
const ground = new Konva.Rect({ fill: "#fff" }); // is seen through transparent photos
const photo = new Konva.Image();
const result = new Konva.Image();
const after = new Konva.Group({ visible: false });
photoLayer.add(ground, photo, after.add(result));

const overlay = new Konva.Image({ visible: false });
const strokes = new Konva.Shape({
    sceneFunc: (context) => {
        for (const stroke of pending()) drawStroke(context, stroke);
        if (live) drawStroke(context, live);
    },
});
const marks = new Konva.Group();
marksLayer.add(marks.add(overlay, strokes));

const NONE = [];
let live = null; // the stroke that is being drawn
let covered = NONE; // the strokes that the overlay shows
let answered = NONE; // the strokes whose overlay was asked for
let ready = null; // whose photo has come
let drawn = {}; // whose photo is drawn
let changed = {}; // the picture of the result and where it belongs

// The line between before and after, with a knob as large on the screen at every zoom.
const line = new Konva.Shape({
    sceneFunc: (context) => {
        const [, top, , bottom] = visible();
        const [x, middle] = [splitX(), ((top + bottom) / 2 - view.y) / view.scale];
        const unit = 1 / view.scale;
        for (const [color, width] of [["rgb(0 0 0 / 0.55)", 4], ["#fff", 2]]) {
            context.beginPath();
            context.moveTo(x, 0);
            context.lineTo(x, step().height);
            context.strokeStyle = color;
            context.lineWidth = width * unit;
            context.stroke();
        }
        context.beginPath();
        context.arc(x, middle, 15 * unit, 0, 2 * Math.PI);
        context.fillStyle = "#fff";
        context.fill();
        context.strokeStyle = "rgb(0 0 0 / 0.55)";
        context.lineWidth = unit;
        context.stroke();
        context.beginPath();
        for (const side of [-1, 1]) {
            context.moveTo(x + side * 5 * unit, middle - 5 * unit);
            context.lineTo(x + side * 10 * unit, middle);
            context.lineTo(x + side * 5 * unit, middle + 5 * unit);
        }
        context.strokeStyle = "#222";
        context.lineWidth = 2 * unit;
        context.stroke();
        context.font = `600 ${13 * unit}px sans-serif`;
        context.lineJoin = "round";
        for (const [word, side, there] of [["Before", -1, state.split > 0], ["After", 1, state.split < 1]]) {
            if (!there) continue;
            context.textAlign = side < 0 ? "right" : "left";
            const at = [word, x + side * 12 * unit, (top - view.y) / view.scale + 24 * unit];
            context.strokeStyle = "rgb(0 0 0 / 0.6)";
            context.lineWidth = 4 * unit;
            context.strokeText(...at);
            context.fillStyle = "#fff";
            context.fillText(...at);
        }
    },
    visible: false,
});
pointerLayer.add(line);

/** Where the line between before and after is, in pixels of the photo. */
export function splitX() {
    return state.split * step().width;
}

/** Shows the stroke that is being drawn, or none. */
export function showLive(stroke) {
    live = stroke;
    marksLayer.batchDraw();
}

// The strokes that the overlay does not cover yet. After an undo there are none: what is gone cannot be drawn.
function pending() {
    const all = step()?.strokes ?? [];
    let same = 0;
    while (same < covered.length && all[same] === covered[same]) same += 1;
    return all.slice(same);
}

// A picture to be shown: an answer that comes too late, when another one is wanted, counts no more.
function slot(show) {
    let [wanted, image] = [null, null];
    return async (url, ...details) => {
        if (url !== wanted) [wanted, image] = [url, url && loaded(url)];
        const mine = image;
        try {
            const ready = await mine;
            if (mine === image) show(ready, ...details);
        } catch {
            if (mine === image) wanted = null; // the next change tries again
        }
    };
}

async function loaded(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
}

const showPhoto = slot((image, which) => {
    ready = which;
    if (photo.image() !== image) photo.image(image);
    draw();
});

const showResult = slot((image, box) => {
    changed = { image, box };
    draw();
});

const showOverlay = slot((image, mask, strokes) => {
    overlay.visible(Boolean(image));
    if (image) lay(overlay, image, mask.box);
    covered = strokes;
    document.documentElement.dataset.mask = image ? mask.version : "";
    marksLayer.batchDraw();
});

function load() {
    const [sid, shown, chosen] = [state.session?.id, step(), shownResult()];
    const saved = shown ? (shown.saved ?? shown.strokes) : NONE;
    if (answered !== saved) {
        const version = shown?.mask?.version;
        showOverlay(version === undefined ? null : address.overlay(sid, shown.number, version), shown?.mask, saved);
    }
    answered = saved;
    showPhoto(shown && address.picture(sid, shown.number), shown && name(shown));
    showResult(chosen && resultPicture(shown, chosen), chosen?.box);
}

/** The address of the picture of what a result changed. */
export function resultPicture(shown, { number }) {
    return address.result(state.session.id, shown.number, number, "picture");
}

const name = (shown) => `${state.session.id} ${shown.number}`;

// As long as the photo of another step is on its way, the one before stays, so that nothing flickers.
function draw() {
    const shown = step();
    for (const layer of layers) layer.visible(Boolean(shown));
    if (!shown || ready !== name(shown)) return;
    const { width, height } = shown;
    if (drawn.session !== state.session.id || photo.width() !== width || photo.height() !== height) fit();
    drawn = { session: state.session.id };
    photo.size({ width, height });
    drawGround();
    marks.clip({ x: 0, y: 0, width, height });
    const chosen = shownResult();
    after.visible(Boolean(chosen && changed.image) && !state.holding);
    after.setAttrs({ clipX: splitX(), clipY: 0, clipWidth: width - splitX(), clipHeight: height });
    if (changed.image && result.image() !== changed.image) lay(result, changed.image, changed.box);
    marksLayer.visible(!chosen && !state.holding);
    line.visible(mode() === "done" && !state.holding);
    marksLayer.batchDraw();
    pointerLayer.batchDraw(); // the photo's layer, which takes longest, is drawn by Konva when something of it changed
}

function lay(picture, image, [x, y, right, bottom]) {
    picture.setAttrs({ image, x, y, width: right - x, height: bottom - y });
}

onChange(load);
onChange(draw);
onView(() => pointerLayer.batchDraw());

// A pixel of the screen smaller on each side, so that it does not shine through at the photo's edges.
function drawGround() {
    const edge = 1 / view.scale;
    ground.setAttrs({ x: edge, y: edge, width: photo.width() - 2 * edge, height: photo.height() - 2 * edge });
}
onView(drawGround);
