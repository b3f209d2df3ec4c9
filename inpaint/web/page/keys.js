// The keyboard: everything that a pointer can do, and shortcuts. The list of them for people is in index.html.

import { cursor, cursorOnCanvas, moveCursor, showCursor } from "./cursor.js";
import { begin, choose, drafting, drop, extend, finish, hover, redo, resize, undo } from "./paint.js";
import { holdSpace } from "./pointer.js";
import { announce } from "./say.js";
import { change, mode, state, step } from "./state.js";
import { container, fit, panBy, zoomBy } from "./view.js";
import { back } from "./work.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TOOLS = { b: "brush", e: "eraser", l: "lasso", x: "box", r: "box" };
const PAN = 60; // pixels of the screen

/** Whether letters are shortcuts: some people's aids send stray letters. */
export const letters = { on: localStorage.getItem("letters") !== "off" };

document.addEventListener("keydown", (event) => {
    if (!step() || document.querySelector("dialog[open]")) return;
    const onCanvas = event.target === container;
    let known;
    if (event.ctrlKey || event.metaKey) known = command(event);
    else known = (onCanvas && draw(event)) || shortcut(event, onCanvas);
    if (known) event.preventDefault();
});

document.addEventListener("keyup", (event) => {
    if (event.key === " ") holdSpace(false);
    if (event.key.toLowerCase() === "c" && state.holding) change({ holding: false });
});

window.addEventListener("blur", () => {
    holdSpace(false);
    if (state.holding) change({ holding: false });
});

function command(event) {
    const key = event.key.toLowerCase();
    if (mode() !== "painting" || (key !== "z" && key !== "y")) return false;
    if (key === "y" || event.shiftKey) redo();
    else undo();
    return true;
}

// Keys that belong to the canvas alone.
function draw(event) {
    const arrow = ARROWS[event.key];
    if (arrow && event.altKey) panBy(-PAN * arrow[0], -PAN * arrow[1]);
    else if (arrow && mode() === "painting") move(arrow, event.shiftKey);
    else if (arrow) panBy(-PAN * arrow[0], -PAN * arrow[1]);
    else if (event.key === " ") holdSpace(true);
    else if (event.key === "Enter" && mode() === "painting") press(event.shiftKey);
    else if (event.key === "Escape" && drafting()) {
        drop();
        announce("Dropped.");
    } else if (event.key.toLowerCase() === "f" && drafting()?.tool === "lasso") end();
    else return false;
    return true;
}

function move([dx, dy], far) {
    const length = Math.max(1, state.size / 4) * (far ? 10 : 1);
    const point = moveCursor(dx * length, dy * length);
    if (drafting()?.tool === "lasso") hover(point);
    else if (drafting()) extend(point);
}

function press(erase) {
    const point = cursor.keyboard && cursor.point ? cursor.point : moveCursor(0, 0);
    const where = point.map(Math.round).join(", ");
    const draft = drafting();
    const last = draft?.points.at(-1);
    const elsewhere = draft && Math.hypot(point[0] - last[0], point[1] - last[1]) > 0.1;
    if (!draft) {
        begin(point, erase);
        const what = { brush: "Brush down", lasso: "Point 1", box: "First corner" }[drafting().tool];
        announce(`${what} at ${where}.`);
    } else if (draft.tool === "lasso" && elsewhere) {
        extend(point);
        announce(`Point ${draft.points.length} at ${where}.`);
    } else end();
}

function end() {
    const { tool } = drafting();
    const counts = finish();
    if (tool === "brush") announce("Brush up.");
    else if (!counts) announce("Too small, dropped.");
}

// Keys that work wherever the focus is, unless a control there has a use for them.
function shortcut(event, onCanvas) {
    if (event.altKey || event.target.closest("input:not([type=range]), select, textarea")) return false;
    const key = event.key.toLowerCase();
    if (key === "escape" && drafting()) drop();
    else if (key === " " && event.target === document.body) holdSpace(true);
    else if (!letters.on && !onCanvas) return false;
    else if (key === "+" || key === "=") zoomBy(1.25, cursorOnCanvas());
    else if (key === "-") zoomBy(0.8, cursorOnCanvas());
    else if (key === "0") fit();
    else if (key === "c") change({ holding: true });
    else if (mode() !== "painting") return false;
    else if (key === "v") back();
    else if (TOOLS[key]) {
        choose(TOOLS[key]);
        showCursor(cursor.point, cursor.keyboard);
        announce(`${TOOLS[key]} chosen.`);
    } else if (key === "[") resize(Math.min(state.size - 1, state.size * 0.87));
    else if (key === "]") resize(Math.max(state.size + 1, state.size * 1.15));
    else return false;
    return true;
}
