// Mouse, pen and fingers on the canvas: one paints (or pans, when there is nothing to paint), two pinch and pan.

import { showCursor } from "./cursor.js";
import { begin, drafting, drop, extend, finish } from "./paint.js";
import { splitX } from "./scene.js";
import { change, mode, step } from "./state.js";
import { container, fromPhoto, onCanvas, onPhoto, panBy, zoomBy } from "./view.js";

const BEGINNING = { milliseconds: 400, pixels: 16 }; // of a stroke, when a second finger still makes it a pinch

const fingers = new Map(); // where each finger is on the canvas
let gesture = null; // { name: "paint" | "pan" | "split" | "pinch" | "rest", pointer, type, at, from, began }
let space = false;

/** Whether the space bar is held, which makes the pointer pan. */
export function holdSpace(held) {
    space = held;
    container.dataset.pan = held;
}

container.addEventListener("pointerdown", (event) => {
    container.focus({ preventScroll: true });
    const at = onCanvas(event);
    if (event.pointerType === "touch") fingers.set(event.pointerId, at);
    if (fingers.size === 2 && mayPinch(event)) {
        if (drafting()) drop();
        gesture = { name: "pinch" };
    }
    if (gesture) return;
    const name = purpose(event, at);
    if (!name) return;
    container.setPointerCapture(event.pointerId);
    gesture = { name, pointer: event.pointerId, type: event.pointerType, at, from: at, began: event.timeStamp };
    if (name === "paint") {
        showCursor(onPhoto(at));
        begin(onPhoto(at), event.shiftKey || event.button === 5); // 5 is a pen's other end
    }
    if (name === "split") moveSplit(at);
});

function purpose(event, at) {
    if (!step()) return null;
    if (event.button === 1 || (space && event.button === 0)) return "pan";
    if (event.button !== 0 && event.button !== 5) return null;
    if (mode() === "painting") return "paint";
    const reach = event.pointerType === "mouse" ? 16 : 28;
    return mode() === "done" && Math.abs(at[0] - fromPhoto([splitX(), 0])[0]) <= reach ? "split" : "pan";
}

// A hand that rests beside a pen, or a finger that comes late, must not spoil a stroke.
function mayPinch(event) {
    if (!gesture || ["pan", "split", "rest"].includes(gesture.name)) return true;
    const [a, b] = [gesture.at, gesture.from];
    const moved = Math.hypot(a[0] - b[0], a[1] - b[1]);
    const young = event.timeStamp - gesture.began < BEGINNING.milliseconds && moved < BEGINNING.pixels;
    return gesture.name === "paint" && gesture.type === "touch" && young;
}

container.addEventListener("pointermove", (event) => {
    const at = onCanvas(event);
    if (gesture?.name === "pinch") return pinch(event.pointerId, at);
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, at);
    if (!gesture) {
        if (event.pointerType !== "touch" && !drafting()) showCursor(step() && onPhoto(at));
        return;
    }
    if (event.pointerId !== gesture.pointer) return;
    if (gesture.name === "paint" && drafting()) {
        const moves = event.getCoalescedEvents?.() ?? [];
        for (const move of moves.length ? moves : [event]) extend(onPhoto(onCanvas(move)));
        showCursor(onPhoto(at));
    }
    if (gesture.name === "pan") panBy(at[0] - gesture.at[0], at[1] - gesture.at[1]);
    if (gesture.name === "split") moveSplit(at);
    gesture.at = at;
});

function pinch(finger, at) {
    if (!fingers.has(finger)) return;
    const before = pair();
    fingers.set(finger, at);
    const now = pair();
    panBy(now.x - before.x, now.y - before.y);
    if (before.apart > 0) zoomBy(now.apart / before.apart, [now.x, now.y]);
}

function pair() {
    const [a, b] = [...fingers.values()];
    return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, apart: Math.hypot(a[0] - b[0], a[1] - b[1]) };
}

function moveSplit(at) {
    change({ split: Math.min(Math.max(onPhoto(at)[0] / step().width, 0), 1) });
}

function end(event) {
    fingers.delete(event.pointerId);
    if (gesture?.name === "pinch") gesture.name = "rest"; // the finger that is left does nothing
    if (gesture?.name === "rest" ? fingers.size === 0 : event.pointerId === gesture?.pointer) {
        if (gesture.name === "paint" && drafting()) event.type === "pointerup" ? finish() : drop();
        if (event.pointerType === "touch") showCursor(null);
        gesture = null;
    }
}

container.addEventListener("pointerup", end);
container.addEventListener("pointercancel", end);
container.addEventListener("pointerleave", () => !gesture && !drafting() && showCursor(null));
container.addEventListener("contextmenu", (event) => event.preventDefault());
for (const name of ["mousedown", "mouseup"]) {
    // The middle button pans: no scrolling by itself, and no pasting.
    container.addEventListener(name, (event) => event.button === 1 && event.preventDefault());
}

container.addEventListener(
    "wheel",
    (event) => {
        event.preventDefault();
        if (!step()) return;
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
        const speed = event.ctrlKey ? 0.01 : 0.0015; // a pinch on a touchpad comes as a wheel with Ctrl
        zoomBy(Math.exp(-Math.min(Math.max(event.deltaY * lines * speed, -0.4), 0.4)), onCanvas(event));
    },
    { passive: false },
);
