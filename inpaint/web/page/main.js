// Joins the page's controls to what they do.

import * as api from "./api.js";
import "./cursor.js";
import { letters } from "./keys.js";
import { add, choose, redo, resize, undo } from "./paint.js";
import "./panel.js";
import { announce, complain } from "./say.js";
import { change, state } from "./state.js";
import { fit, zoomBy } from "./view.js";
import { back, cancel, loadMask, open, remove, removeMore, resume, showStep, startOver, tell } from "./work.js";

const $ = (id) => document.getElementById(id);
const onClick = (id, action) => $(id).addEventListener("click", () => action());

function onFile(id, action) {
    $(id).addEventListener("change", (event) => {
        const [file] = event.target.files;
        if (file) action(file);
        event.target.value = ""; // the same file again is a change too
    });
}

onClick("choose-photo", () => $("photo-file").click());
onClick("example", () => open(null));
onClick("new-photo", startOver);
onFile("photo-file", open);

for (const button of document.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => choose(button.dataset.tool));
}
$("size").addEventListener("input", (event) => resize(Number(event.target.value)));
onClick("undo", undo);
onClick("redo", redo);
onClick("clear", () => add({ tool: "clear" }));
onClick("swap", () => add({ tool: "invert" }));
onClick("load-mask", () => $("mask-file").click());
onFile("mask-file", loadMask);
onClick("zoom-in", () => zoomBy(1.5));
onClick("zoom-out", () => zoomBy(1 / 1.5));
onClick("zoom-fit", fit);

for (const radio of document.querySelectorAll("input[name=preset]")) {
    radio.addEventListener("change", () => change({ preset: radio.value }));
}
for (const radio of document.querySelectorAll("input[name=variants]")) {
    radio.addEventListener("change", () => change({ count: Number(radio.value) }));
}
onClick("remove", remove);
onClick("back", back);
onClick("cancel", cancel);
onClick("more", removeMore);
onClick("change", () => change({ editing: true }));
$("split").addEventListener("input", (event) => change({ split: Number(event.target.value) / 100 }));
$("steps").addEventListener("click", ({ target }) => target.dataset.step && showStep(Number(target.dataset.step)));
$("variants").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) change({ chosen: Number(button.dataset.number) });
});

const hold = (holding) => state.holding !== holding && change({ holding });
const letGo = ["pointerup", "pointercancel", "pointerleave", "blur", "keyup"];
for (const name of letGo) $("hold").addEventListener(name, () => hold(false));
$("hold").addEventListener("pointerdown", () => hold(true));
$("hold").addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && hold(true));
$("hold").addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch

onClick("copy", async () => {
    getSelection().selectAllChildren($("command"));
    try {
        await navigator.clipboard.writeText($("command").textContent);
    } catch {
        document.execCommand("copy"); // pages from other machines may not use the clipboard otherwise
    }
    announce("Copied.");
    $("copy").classList.add("told");
    setTimeout(() => $("copy").classList.remove("told"), 1500);
});

onClick("help-open", () => $("help").showModal());
$("letters").checked = letters.on;
$("letters").addEventListener("change", (event) => {
    letters.on = event.target.checked;
    localStorage.setItem("letters", letters.on ? "on" : "off");
});

// A photo can be dropped or pasted at any time.
const brings = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    $("dropping").hidden = false;
});
document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("dropping").hidden = true;
});
document.addEventListener("drop", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    $("dropping").hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) open(file);
});
document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) open(file);
    else tell("There is no picture in the clipboard.");
});

if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
    $("where").textContent = "The photo goes to the server of this page, and nowhere else.";
}

api.about().then(
    (about) => {
        change({ about });
        for (const id of ["photo-file", "mask-file"]) $(id).accept = `image/*,${about.accept}`;
    },
    (error) => complain("start-alert", error.message),
);
await resume();
change({});
