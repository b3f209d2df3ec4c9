// The cursor on the photo: the brush's circle at its true size, and a cross that the arrow keys move.

import { mode, onChange, state, step } from "./state.js";
import { container, fromPhoto, onView, pointerLayer, reveal, view } from "./view.js";

export const cursor = { point: null, keyboard: false };

const isBrush = () => state.tool === "brush" || state.tool === "eraser";

const shape = new Konva.Shape({
    sceneFunc: (context) => {
        const [[x, y], unit] = [cursor.point, 1 / view.scale];
        for (const [color, width] of [["rgb(0 0 0 / 0.6)", 3], ["#fff", 1.5]]) {
            context.beginPath();
            if (isBrush()) context.arc(x, y, Math.max(state.size / 2, 2 * unit), 0, 2 * Math.PI);
            if (cursor.keyboard) {
                for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
                    context.moveTo(x + 3 * dx * unit, y + 3 * dy * unit);
                    context.lineTo(x + 12 * dx * unit, y + 12 * dy * unit);
                }
            }
            context.strokeStyle = color;
            context.lineWidth = width * unit;
            context.stroke();
        }
    },
    visible: false,
});
pointerLayer.add(shape);

function draw() {
    const painting = mode() === "painting";
    if (!step()) cursor.point = null;
    shape.visible(painting && cursor.point !== null && (isBrush() || cursor.keyboard));
    // The circle replaces the arrow, unless it is too small to be found.
    const circle = isBrush() && state.size * view.scale >= 8;
    container.dataset.cursor = painting ? (circle ? "circle" : "cross") : "hand";
    pointerLayer.batchDraw();
}

/** Shows the cursor at a point of the photo, or hides it. */
export function showCursor(point, keyboard = false) {
    Object.assign(cursor, { point, keyboard });
    draw();
}

/** Moves the keyboard's cursor; it begins in the middle of the canvas and stays on the photo. */
export function moveCursor(dx, dy) {
    const { width, height } = step();
    const [x, y] = cursor.point ?? middle();
    const point = [Math.min(Math.max(x + dx, 0), width), Math.min(Math.max(y + dy, 0), height)];
    showCursor(point, true);
    reveal(point);
    return point;
}

/** Where the keyboard's cursor is on the canvas, or undefined if there is none. */
export function cursorOnCanvas() {
    return cursor.keyboard && cursor.point ? fromPhoto(cursor.point) : undefined;
}

function middle() {
    const { width, height } = step();
    const inside = (value, size) => Math.min(Math.max(value, 0), size);
    const x = (container.clientWidth / 2 - view.x) / view.scale;
    const y = (container.clientHeight / 2 - view.y) / view.scale;
    return [inside(x, width), inside(y, height)];
}

onChange(draw);
onView(draw);
