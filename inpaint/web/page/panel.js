// The words and controls around the canvas, as the state has them.

import { address, LOST } from "./api.js";
import { largest } from "./paint.js";
import { announce, complain } from "./say.js";
import { resultPicture } from "./scene.js";
import { isWorking, mode, onChange, shownResult, state, step, variants } from "./state.js";
import { onView, view } from "./view.js";
import { percent } from "./work.js";

const $ = (id) => document.getElementById(id);
const FOCUS = { start: "start-title", painting: "canvas", working: "work-title", done: "done-title" };

/** Sets a text only if it differs, so that screen readers do not repeat it. */
function write(id, text) {
    if ($(id).textContent !== text) $(id).textContent = text;
}

function list(id, lines) {
    const old = [...$(id).children].map((item) => item.textContent);
    if (old.join("\n") === lines.join("\n")) return;
    $(id).replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

function draw() {
    const now = mode();
    const shown = step();
    const before = document.documentElement.dataset.state;
    const focused = document.activeElement;
    document.documentElement.dataset.state = now;
    for (const [id, there] of Object.entries({
        start: now === "start",
        editor: now !== "start",
        "new-photo": now !== "start",
        tools: now === "painting",
        "bar-working": now === "working",
        compare: now === "done",
        "paint-part": now === "painting",
        "fill-part": now === "painting",
        "work-part": now === "working",
        "done-part": now === "done",
        opening: state.opening !== null,
    }))
        $(id).hidden = !there;
    progress("opening-progress", state.opening > 0 && state.opening < 1 ? state.opening : null);
    complain("lost", state.lost ? LOST : "");
    document.title = shown ? `${shown.name} - inpaint` : "inpaint";
    if (shown) {
        write("photo-name", `${shown.name}, ${shown.width} × ${shown.height}`);
        drawSteps();
        drawPainting(shown);
        drawWork();
        drawDone(shown);
        drawBadge(now);
    }
    $("steps").hidden = !shown || state.session.steps.length < 2;
    if (before !== now) window.scrollTo(0, 0); // on a phone, to the picture
    const lost = focused === document.body ? before !== now : !focused.checkVisibility() || focused.disabled;
    if (lost) {
        $(FOCUS[now]).focus({ preventScroll: true });
    }
}

// A bar without a share moves to and fro.
function progress(id, share) {
    if (share === null) $(id).removeAttribute("value");
    else $(id).value = share;
}

function drawSteps() {
    const { steps } = state.session;
    const names = steps.map((_, index) => (index ? `Step ${index}` : "Photo"));
    buttons("steps", names, (button, index) => {
        const { number } = steps[index];
        button.dataset.step = number;
        button.disabled = isWorking() || state.opening !== null;
        button.setAttribute("aria-current", number === state.step ? "step" : "false");
    });
}

// As many buttons as names, kept from one drawing to the next so that the focus stays.
function buttons(id, names, fit) {
    const place = $(id);
    while (place.children.length > names.length) place.lastChild.remove();
    names.forEach((name, index) => {
        const button = place.children[index] ?? place.appendChild(document.createElement("button"));
        button.type = "button";
        if (button.dataset.name !== name) button.replaceChildren(name);
        button.dataset.name = name;
        fit(button, index);
    });
}

function drawPainting(shown) {
    for (const button of document.querySelectorAll("[data-tool]")) {
        button.setAttribute("aria-pressed", button.dataset.tool === state.tool);
    }
    $("size").max = largest();
    $("size").value = state.size;
    $("size").disabled = state.tool !== "brush" && state.tool !== "eraser";
    write("size-text", `${state.size} px`);
    $("size").setAttribute("aria-valuetext", `${state.size} pixels`);
    document.querySelector(`input[name=preset][value=${state.preset}]`).checked = true;
    document.querySelector(`input[name=variants][value="${state.count}"]`).checked = true;
    $("undo").disabled = shown.strokes.length === 0;
    $("redo").disabled = state.undone.length === 0;
    $("clear").disabled = (shown.strokes.at(-1)?.tool ?? "clear") === "clear";
    const { mask } = shown;
    const underway = shown.saved !== undefined && shown.saved !== shown.strokes; // the server has yet to answer
    const hint = underway ? "One moment ..." : "Paint over it, its shadow too; it need not be exact.";
    list("mask-lines", mask ? [`${percent(mask.marked)} of the photo is marked`, ...mask.lines] : [hint]);
    $("save-mask").hidden = !mask;
    $("save-mask").href = address.mask(state.session.id, shown.number);
    const why = mask ? mask.problem : underway ? null : "Mark something first.";
    write("why", why ?? "");
    $("remove").disabled = why !== null;
    $("back").hidden = variants().length === 0;
}

let told = 0; // the last quarter that was announced

function drawWork() {
    const fill = state.session.fill;
    if (!isWorking()) {
        told = 0;
        return;
    }
    const waiting = fill.state === "waiting";
    progress("fill-progress", waiting ? null : fill.share);
    const words = state.lost ? ["The server has not answered for a while"] : [];
    const variant = Math.min(fill.done + 1, fill.of);
    if (!state.lost && fill.of > 1 && fill.state === "filling") words.push(`Variant ${variant} of ${fill.of}`);
    if (state.lost) progress("fill-progress", null);
    else if (waiting) words.push(fill.place > 0 ? `${fill.place} before yours` : "Starting");
    else if (fill.state === "preview") words.push("Making a preview");
    else words.push(fill.seconds_left === null ? "Starting" : timeLeft(fill.seconds_left));
    write("fill-text", words.join(", "));
    const quarter = Math.floor(fill.share * 4);
    if (quarter > told && quarter < 4) announce(`${quarter * 25} %`);
    told = quarter;
}

function timeLeft(seconds) {
    if (seconds < 90) return `about ${Math.max(1, Math.ceil(seconds))} s left`;
    return `about ${Math.round(seconds / 60)} min left`;
}

function drawDone(shown) {
    const result = mode() === "done" ? shownResult() : null;
    $("split").value = 100 * state.split;
    $("split").setAttribute("aria-valuetext", `the left ${Math.round(100 * state.split)} % as before`);
    if (!result) return;
    const all = variants();
    const url = (what) => address.result(state.session.id, shown.number, result.number, what);
    $("variants").hidden = all.length < 2;
    buttons("variants", all.length < 2 ? [] : all.map((_, index) => `Variant ${index + 1}`), (button, index) => {
        const picture = resultPicture(shown, all[index]);
        const image = button.querySelector("img") ?? new Image();
        if (image.getAttribute("src") !== picture) Object.assign(image, { src: picture, alt: "", draggable: false });
        if (!image.parentNode) button.prepend(image);
        button.dataset.number = all[index].number;
        button.setAttribute("aria-pressed", all[index] === result);
    });
    $("keep").href = url("file");
    $("result-mask").href = url("mask");
    $("report").href = url("report");
    for (const id of ["more", "change"]) $(id).disabled = state.opening !== null;
    $("more").setAttribute("aria-busy", state.opening !== null);
    $("later").hidden = shown === state.session.steps.at(-1);
    list("result-lines", result.lines);
    write("command", result.command);
}

function drawBadge(now) {
    const badge = state.holding ? "Original" : now === "working" && shownResult()?.preview ? "Preview" : "";
    write("badge", badge);
    $("badge").hidden = !badge;
}

onChange(draw);
onView(() => write("zoom-level", `${Math.round(100 * view.scale)} %`));
