// What a person does, told to the server: open a photo, mark, fill, go on. Refusals are shown where they happened.

import * as api from "./api.js";
import { change, isWorking, mode, onChange, shownResult, state, step, variants } from "./state.js";
import { announce, complain } from "./say.js";

const KEPT = "inpaint"; // in sessionStorage: each tab has its own session, and a reload goes on with it
let events = null;
let saving = null;
let unsaved = false;
let cancelling = false;

/** Opens a photo: a file of the person's, or null for the example. */
export async function open(file) {
    const place = state.session ? "notice" : "start-alert";
    complain(place, "");
    if (state.upload !== null) return;
    if (file && state.about && file.size > state.about.max_bytes) {
        const [has, most] = [file.size, state.about.max_bytes].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
        complain(place, `${file.name} has ${has}; at most ${most} can be read.`);
        return;
    }
    change({ upload: 0 });
    try {
        const session = await (file ? api.upload(file, (upload) => change({ upload })) : api.example());
        if (state.session) leave();
        enter(session);
        announce(`${step().name} is open, ${step().width} by ${step().height} pixels. Paint over what is to go.`);
    } catch (error) {
        complain(place, error.message);
    } finally {
        change({ upload: null });
    }
}

/** Goes on with the session of before a reload, if there was one. */
export async function resume() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (!kept) return;
    try {
        const session = await api.session(kept.id);
        change({ preset: kept.preset, count: kept.count });
        enter(session, kept);
    } catch (error) {
        if (error.status === 404) gone();
        else complain("start-alert", error.message);
    }
}

/** Forgets the session and goes back to the first screen. */
export function startOver() {
    leave();
    sessionStorage.removeItem(KEPT);
    change({ session: null, step: 0, editing: true, undone: [], chosen: null });
}

/** Changes the list of strokes and sends it. */
export function setStrokes(strokes, undone = []) {
    step().saved ??= step().strokes;
    step().strokes = strokes;
    complain("mask-alert", "");
    complain("fill-alert", "");
    unsaved = true;
    change({ undone });
    saving ??= save();
}

// One list at a time goes out, so that the server's last is ours; what is drawn meanwhile goes with the next.
async function save() {
    while (unsaved && state.session) {
        await pause(60);
        const [session, shown] = [state.session, step()];
        if (!session) break;
        unsaved = false;
        try {
            const mask = await api.putStrokes(session.id, shown.number, shown.strokes);
            state.lost = false;
            if (unsaved) continue;
            Object.assign(shown, { mask, saved: shown.strokes });
            complain("mask-alert", "");
            announce(mask ? `${percent(mask.marked)} of the photo is marked.` : "Nothing is marked.");
        } catch (error) {
            if (session !== state.session) continue;
            if (error.status !== 0) { // what is shown is what the server has
                Object.assign(shown, { strokes: shown.saved });
                fail("mask-alert", error);
                continue;
            }
            unsaved = true; // nobody answered: try again
            change({ lost: true });
            await pause(2000);
        }
    }
    saving = null;
    change({});
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A share as text, such as "2.3 %". */
export function percent(share) {
    return share > 0 && share < 0.001 ? "less than 0.1 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** Adds a mask file to what is marked. */
export async function loadMask(file) {
    const shown = step();
    complain("mask-alert", "");
    try {
        const answer = await api.uploadMask(state.session.id, shown.number, file);
        if (shown === step()) setStrokes([...shown.strokes, { tool: "file", file: answer.file }]);
    } catch (error) {
        fail("mask-alert", error);
    }
}

/** Fills what is marked. */
export async function remove() {
    complain("fill-alert", "");
    await saving;
    const [session, shown] = [state.session, step()];
    const { preset, count } = state;
    if (!session || isWorking() || !shown.mask || shown.mask.problem) return;
    // Shown at once; how it really goes comes by the events, which may be faster than the answer.
    session.fill = { step: shown.number, state: "waiting", place: 0, share: 0, seconds_left: null, done: 0, of: count };
    shown.results = [];
    change({ chosen: null, split: 0 });
    try {
        await api.fill(session.id, shown.number, preset, count);
    } catch (error) {
        session.fill = null;
        change({ editing: true });
        fail("fill-alert", error);
    }
}

/** Cancels: the page shows it at once, and does not listen until the server has done it. */
export async function cancel() {
    const session = state.session;
    cancelling = true;
    session.fill = { ...session.fill, state: "cancelled" };
    change({ editing: variants().length === 0 });
    announce("Cancelled.");
    try {
        await api.cancel(session.id);
    } catch (error) {
        fail("fill-alert", error);
    } finally {
        cancelling = false;
    }
}

/** Goes on from the shown result: it becomes the photo of the next step. */
export async function removeMore() {
    try {
        const [session, number] = [state.session, step().number];
        const answer = await api.next(session.id, number, shownResult().number);
        if (session !== state.session) return;
        change({ session: answer, turn: Date.now(), ...beginning(answer, number + 1) });
        announce(`Step ${number + 1}. Paint over what is to go next.`);
    } catch (error) {
        fail("done-alert", error);
    }
}

/** Shows another step: its photo, strokes and results. */
export async function showStep(number) {
    await saving;
    if (state.session?.steps[number]) change(beginning(state.session, number));
}

// What a step begins with when it is shown.
function beginning(session, number) {
    const editing = !session.steps[number].results.some((result) => !result.preview);
    return { step: number, editing, undone: [], chosen: null, split: 0 };
}

function enter(session, kept = {}) {
    for (const place of ["start-alert", "notice", "mask-alert", "fill-alert", "done-alert"]) complain(place, "");
    const last = session.steps.length - 1;
    const begin = beginning(session, Math.min(kept.step ?? session.fill?.step ?? last, last));
    const { width, height } = session.steps[begin.step];
    const size = Math.max(8, Math.round(Math.max(width, height) / 20));
    change({ session, ...begin, editing: begin.editing || Boolean(kept.editing), size, lost: false });
    listen();
}

function leave() {
    events?.close();
    api.forget(state.session.id).catch(() => {}); // it expires by itself
}

function gone() {
    events?.close();
    sessionStorage.removeItem(KEPT);
    change({ session: null, lost: false });
    complain("start-alert", "The photo that was open here is no longer kept. Please open it again.");
}

function fail(place, error) {
    if (error.status === 404) checkSession();
    complain(place, error.message);
}

function listen() {
    events?.close();
    const id = state.session.id;
    events = new EventSource(api.address.events(id));
    events.onopen = () => state.lost && change({ lost: false });
    events.onmessage = (event) => state.session?.id === id && hear(JSON.parse(event.data));
    events.addEventListener("gone", gone);
    events.onerror = (event) => {
        if (event.target !== events || state.session?.id !== id) return;
        change({ lost: true });
        if (events.readyState === EventSource.CLOSED) setTimeout(checkSession, 2000);
    };
}

// The browser itself reconnects only while it cannot reach the server, not after an answer such as 404.
async function checkSession() {
    const id = state.session?.id;
    if (!id) return;
    try {
        await api.session(id);
        if (state.session?.id === id && events.readyState === EventSource.CLOSED) listen();
    } catch (error) {
        if (state.session?.id !== id) return;
        if (error.status === 404) gone();
        else setTimeout(checkSession, 2000);
    }
}

function hear({ fill, results }) {
    if (cancelling) return;
    const session = state.session;
    const before = isWorking();
    session.fill = fill;
    if (fill && session.steps[fill.step]) session.steps[fill.step].results = results;
    if (before && !isWorking()) {
        state.editing = variants().length === 0;
        if (fill?.state === "failed") complain(variants().length ? "done-alert" : "fill-alert", fill.error);
        if (fill?.state === "done") announce("Done.");
    }
    change({});
}

onChange(() => {
    if (mode() === "start") return;
    const { session, step: number, editing, preset, count } = state;
    sessionStorage.setItem(KEPT, JSON.stringify({ id: session.id, step: number, editing, preset, count }));
});
