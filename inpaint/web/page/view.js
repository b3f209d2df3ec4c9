// The canvas: the photo, what is marked and the result, and where they lie on the screen.
// All layers are in pixels of the photo; zooming and panning move and scale the layers.

import { step } from "./state.js";

const SQUARES = 3; // from this scale on the photo's pixels are shown as squares
const MARGIN = 24; // around a photo that fits, in pixels of the screen

Konva.pixelRatio = Math.min(window.devicePixelRatio || 1, 2); // more costs time and is not seen

export const container = document.getElementById("canvas");
const stage = new Konva.Stage({ container: "canvas", width: 1, height: 1, listening: false });
export const photoLayer = new Konva.Layer({ listening: false });
export const marksLayer = new Konva.Layer({ listening: false });
export const pointerLayer = new Konva.Layer({ listening: false });
stage.add(photoLayer, marksLayer, pointerLayer);

export const view = { x: 0, y: 0, scale: 1, fitted: true };
const listeners = [];

/** Calls the listener whenever the photo is moved, scaled or the canvas gets another size. */
export function onView(listener) {
    listeners.push(listener);
}

function place(x, y, scale, fitted = false) {
    const shown = step();
    if (shown) {
        // Some of the photo always stays in sight.
        const [width, height] = [shown.width * scale, shown.height * scale];
        const [inX, inY] = [Math.min(80, width / 2), Math.min(80, height / 2)];
        x = Math.min(Math.max(x, inX - width), stage.width() - inX);
        y = Math.min(Math.max(y, inY - height), stage.height() - inY);
    }
    Object.assign(view, { x, y, scale, fitted });
    for (const layer of stage.getLayers()) {
        layer.setAttrs({ x, y, scaleX: scale, scaleY: scale });
        layer.batchDraw();
    }
    photoLayer.imageSmoothingEnabled(scale <= SQUARES);
    for (const listener of listeners) listener();
}

// The room for a photo that fits: left, top, width, height. It ends above the buttons that zoom.
function room() {
    const margin = Math.min(MARGIN, stage.width() / 30);
    const below = Math.max(margin, stage.height() - document.getElementById("zoom").offsetTop + 8);
    return [margin, margin, stage.width() - 2 * margin, stage.height() - margin - below];
}

function fitScale() {
    const shown = step();
    const [, , width, height] = room();
    return Math.max(0.001, Math.min(width / shown.width, height / shown.height, SQUARES));
}

/** Shows the whole photo. */
export function fit() {
    const shown = step();
    if (!shown) return;
    const scale = fitScale();
    const [left, top, width, height] = room();
    place(left + (width - shown.width * scale) / 2, top + (height - shown.height * scale) / 2, scale, true);
}

/** Zooms by a factor; a point of the canvas, its middle by default, stays where it is. */
export function zoomBy(factor, at = [stage.width() / 2, stage.height() / 2]) {
    const scale = Math.min(Math.max(view.scale * factor, fitScale() / 4), 40);
    const real = scale / view.scale;
    place(at[0] - (at[0] - view.x) * real, at[1] - (at[1] - view.y) * real, scale);
}

/** Moves the photo by pixels of the screen. */
export function panBy(dx, dy) {
    place(view.x + dx, view.y + dy, view.scale);
}

/** The point of the canvas under a point of the window. */
export function onCanvas(event) {
    const box = container.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
}

/** The point of the photo at a point of the canvas. */
export function onPhoto([x, y]) {
    return [(x - view.x) / view.scale, (y - view.y) / view.scale];
}

/** The point of the canvas at a point of the photo. */
export function fromPhoto([x, y]) {
    return [x * view.scale + view.x, y * view.scale + view.y];
}

/** Pans just as far as it takes to see a point of the photo. */
export function reveal(point) {
    const [x, y] = fromPhoto(point);
    const border = Math.min(40, stage.width() / 4, stage.height() / 4);
    const into = (value, size) => Math.min(Math.max(value, border), size - border) - value;
    const [dx, dy] = [into(x, stage.width()), into(y, stage.height())];
    if (dx || dy) panBy(dx, dy);
}

/** The part of the canvas that the photo covers: left, top, right, bottom. */
export function visible() {
    const { width, height } = step();
    const [[left, top], [right, bottom]] = [fromPhoto([0, 0]), fromPhoto([width, height])];
    return [Math.max(left, 0), Math.max(top, 0), Math.min(right, stage.width()), Math.min(bottom, stage.height())];
}

new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = container;
    if (!width || !height) return;
    const [dx, dy] = [(width - stage.width()) / 2, (height - stage.height()) / 2];
    stage.size({ width, height });
    if (view.fitted) fit();
    else panBy(dx, dy);
}).observe(container);

// The one global, for tests and the curious: where a point of the photo lies in the window, and how large a pixel is.
window.inpaintView = {
    toScreen(x, y) {
        const box = container.getBoundingClientRect();
        const [left, top] = fromPhoto([x, y]);
        return [left + box.left, top + box.top];
    },
    get scale() {
        return view.scale;
    },
};
