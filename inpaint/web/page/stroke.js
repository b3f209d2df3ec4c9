// How a stroke looks until the server has answered with the mask.

const RED = "rgb(230 20 50 / 0.55)"; // as in the server's overlay

/** Draws a stroke of the contract. It first clears what is below it, so that red over red is not darker. */
export function drawStroke(context, stroke) {
    const whole = stroke.tool === "clear";
    if (!whole && !stroke.points?.length) return; // swapping and mask files are for the server to show
    context.save();
    context.globalCompositeOperation = "destination-out";
    if (whole) {
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    } else {
        trace(context, stroke, "#000");
        context.globalCompositeOperation = "source-over";
        if (!stroke.erase) trace(context, stroke, RED);
    }
    context.restore();
}

function trace(context, { tool, points, size }, color) {
    context.beginPath();
    if (tool === "box") {
        const [[left, top], [right, bottom]] = points;
        context.rect(left, top, right - left, bottom - top);
    } else {
        context.moveTo(...points[0]);
        for (const point of points.slice(1)) context.lineTo(...point);
        if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]); // a dot
    }
    context.fillStyle = context.strokeStyle = color;
    if (tool === "brush") {
        context.lineCap = context.lineJoin = "round";
        context.lineWidth = size;
        context.stroke();
    } else {
        context.fill();
    }
}
