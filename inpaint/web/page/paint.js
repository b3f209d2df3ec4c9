// The stroke that is being made, by a pointer or by the keyboard, and the list of strokes with its undo and redo.

import { showLive } from "./scene.js";
import { change, mode, onChange, state, step } from "./state.js";
import { view } from "./view.js";
import { setStrokes } from "./work.js";

let draft = null;
let draftStep = null; // that it is made on

/** The stroke that is being made, or null. */
export const drafting = () => draft;

/** Begins a stroke at a point of the photo with the present tool; erasing can be asked of every tool. */
export function begin(point, erase = false) {
    const brush = state.tool === "brush" || state.tool === "eraser";
    const points = [rounded(point)];
    if (state.tool === "box") points.push(points[0]);
    draft = { tool: brush ? "brush" : state.tool, points, erase: erase || state.tool === "eraser" };
    if (brush) draft.size = state.size;
    draftStep = step();
    showLive(draft);
}

/** Leads the stroke on to a point: the line goes on, or the second corner moves there. */
export function extend(point) {
    const next = rounded(point);
    if (draft.tool === "box") draft.points[1] = next;
    else if (distance(draft.points.at(-1), next) >= 1 / view.scale) draft.points.push(next); // nobody sees less
    showLive(draft);
}

/** Shows the lasso as it would be with one more point. */
export function hover(point) {
    showLive({ ...draft, points: [...draft.points, rounded(point)] });
}

/** Ends the stroke and appends it to the list; too small a lasso or box is dropped. Returns whether it counts. */
export function finish() {
    const { tool, points } = draft;
    const stroke = draft;
    drop();
    if (tool === "lasso" && points.length < 3) return false;
    if (tool === "box" && (points[0][0] === points[1][0] || points[0][1] === points[1][1])) return false;
    add(stroke);
    return true;
}

/** Forgets the stroke that is being made. */
export function drop() {
    draft = null;
    showLive(null);
}

/** Appends a stroke to the list. */
export function add(stroke) {
    setStrokes([...step().strokes, stroke]);
}

/** Takes the last stroke back. */
export function undo() {
    if (draft) return drop();
    const strokes = step().strokes;
    if (strokes.length) setStrokes(strokes.slice(0, -1), [...state.undone, strokes.at(-1)]);
}

/** Brings back the stroke that was taken back last. */
export function redo() {
    const { undone } = state;
    if (undone.length) setStrokes([...step().strokes, undone.at(-1)], undone.slice(0, -1));
}

/** Takes up another tool. */
export function choose(tool) {
    if (draft) drop();
    change({ tool });
}

/** The largest brush for the photo. */
export function largest() {
    const { width, height } = step();
    return Math.min(4000, Math.max(100, Math.round(Math.max(width, height) / 4)));
}

/** Sets the brush's size. */
export function resize(size) {
    change({ size: Math.min(Math.max(Math.round(size), 1), largest()) });
}

onChange(() => {
    if (draft && (mode() !== "painting" || step() !== draftStep)) drop();
});

const distance = ([x, y], [u, v]) => Math.hypot(x - u, y - v);
const rounded = (point) => point.map((value) => Math.round(100 * value) / 100);
