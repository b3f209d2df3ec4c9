// What a person does, told to the server: open a photo, mark, fill, go on. Refusals are shown where they happened.

import * as api from "./api.js";
import { change, isWorking, made, mode, onChange, shownResult, state, step, stepOf, variants } from "./state.js";
import { agreed, announce, complain } from "./say.js";

const KEPT = "inpaint"; // in sessionStorage: each tab has its own session, and a reload goes on with it
const ALERTS = ["start-alert", "notice", "mask-alert", "fill-alert", "done-alert"];
const [AGAIN, SOMETIMES] = [2000, 60_000]; // milliseconds until the server is asked again: if it is away, if it is well
let events = null; // the stream of what happens, if there is one
let again = null; // the timer of the next question
// What has been asked of the server and is not answered yet: each a promise, or null.
let saving = null;
let filling = null;
let cancelling = null;
let unsaved = null; // the step whose list the server has yet to hear of

/** Shows a complaint about nothing in particular on the page, or takes it away. */
export const tell = (text) => complain(state.session ? "notice" : "start-alert", text);

/** Opens a photo: a file of the person's, or null for the example. */
export async function open(file) {
    tell("");
    if (state.opening !== null) return;
    if (file && state.about && file.size > state.about.max_bytes) {
        const [has, most] = [file.size, state.about.max_bytes].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
        tell(`${file.name} has ${has}; at most ${most} can be read.`);
        return;
    }
    if (!(await mayLeave("Open the new photo?", "Open the new photo"))) return;
    change({ opening: 0 });
    try {
        const session = await (file ? api.upload(file, (opening) => change({ opening })) : api.example());
        if (state.session) leave();
        enter(session);
        announce(`${step().name} is open, ${step().width} by ${step().height} pixels. Paint over what is to go.`);
    } catch (error) {
        tell(error.message);
    } finally {
        change({ opening: null });
    }
}

// Whether the open photo may go, which the person is asked if something of theirs would go with it.
async function mayLeave(question, yes) {
    const steps = state.session?.steps ?? [];
    const results = steps.flatMap((one) => one.results.filter((result) => !result.preview)).length;
    const lost = [
        steps.some((one) => one.strokes.length) && "what is marked",
        results && (results === 1 ? "the result" : `the ${results} results`),
        steps.length > 1 && `all ${steps.length} steps`,
    ].filter(Boolean);
    if (!lost.length) return true;
    const all = new Intl.ListFormat("en-GB").format(lost);
    return agreed(question, `This page will forget ${all} of ${steps[0].name}. Files that were kept stay.`, yes);
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
        else tell(error.message);
    }
}

/** Forgets the session and goes back to the first screen. */
export async function startOver() {
    if (!(await mayLeave("Leave this photo?", "Leave it")) || !state.session) return;
    leave();
    sessionStorage.removeItem(KEPT);
    change({ session: null, step: 0, editing: true, undone: [], chosen: null });
}

/** Changes the list of strokes and sends it. */
export function setStrokes(strokes, undone = []) {
    unsaved = step();
    unsaved.saved ??= unsaved.strokes;
    unsaved.strokes = strokes;
    for (const place of ["notice", "mask-alert", "fill-alert"]) complain(place, "");
    change({ undone });
    saving ??= save();
}

// One list at a time goes out, so that the server's last is ours; what is drawn meanwhile goes with the next.
async function save() {
    while (unsaved && state.session) {
        await pause(60);
        const [session, shown] = [state.session, unsaved];
        if (!session) break;
        unsaved = null;
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
                unsaved = null; // what was drawn meanwhile goes with it
                fail("mask-alert", error);
                continue;
            }
            unsaved ??= shown; // nobody answered: try again
            change({ lost: true });
            await pause(AGAIN);
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

/** Fills what is marked. What was made of it before stays until there is something new. */
export async function remove() {
    complain("fill-alert", "");
    await saving;
    await cancelling; // which would hit the new fill
    const [session, shown] = [state.session, step()];
    const { preset, count } = state;
    if (!session || isWorking() || !shown.mask || shown.mask.problem) return;
    // Shown at once; how it really goes comes by the events, which may be faster than the answer.
    const fill = { step: shown.number, first: Infinity, done: 0, of: count }; // of which there is no result yet
    session.fill = { ...fill, state: "waiting", place: 0, share: 0, seconds_left: null };
    change({ split: 0 });
    filling = api.fill(session.id, shown.number, preset, count);
    try {
        await filling;
    } catch (error) {
        session.fill = null;
        change({ editing: true });
        fail("fill-alert", error);
    }
    filling = null;
}

/** Cancels the fill. */
export function cancel() {
    cancelling ??= stop();
}

// The page shows it at once, and does not listen until the server has done it.
async function stop() {
    const session = state.session;
    session.fill = { ...session.fill, state: "cancelled" };
    change({ editing: isNothingNew() });
    announce("Cancelled.");
    try {
        await filling?.catch(() => {}); // else this might come before what it cancels
        await api.cancel(session.id);
    } catch (error) {
        if (session === state.session) fail("fill-alert", error);
    }
    cancelling = null;
    checkSession(); // for what came meanwhile
}

const isNothingNew = () => !made().some((result) => !result.preview);

/** Goes from painting back to the results that there are. */
export function back() {
    if (variants().length) change({ editing: false });
}

/** Goes on from the shown result: it becomes the photo of the next step, which takes seconds for a large one. */
export async function removeMore() {
    complain("done-alert", "");
    const [session, shown, { number }] = [state.session, step(), shownResult()];
    change({ opening: 0 });
    announce("One moment.");
    try {
        await saving;
        const answer = await api.next(session.id, shown.number, number);
        if (session !== state.session) return;
        change({ session: answer, ...beginning(answer.steps.at(-1)) });
        announce(`Step ${answer.steps.length - 1}. Paint over what is to go next.`);
    } catch (error) {
        if (session === state.session) fail("done-alert", error);
    } finally {
        change({ opening: null });
    }
}

/** Shows another step: its photo, strokes and results. */
export async function showStep(number) {
    await saving;
    const shown = stepOf(state.session, number);
    if (shown) change(beginning(shown));
}

// What a step begins with when it is shown.
function beginning(shown) {
    const editing = shown.results.every((result) => result.preview);
    return { step: shown.number, editing, undone: [], chosen: null, split: 0 };
}

function enter(session, kept = {}) {
    for (const place of ALERTS) complain(place, "");
    const wanted = [kept.step, session.fill?.step].map((number) => stepOf(session, number));
    const shown = wanted.find(Boolean) ?? session.steps.at(-1);
    const begin = beginning(shown);
    const size = Math.max(8, Math.round(Math.max(shown.width, shown.height) / 20));
    change({ session, ...begin, editing: begin.editing || Boolean(kept.editing), size, lost: false });
}

function leave() {
    hush();
    api.forget(state.session.id).catch(() => {}); // it expires by itself
}

function gone() {
    hush();
    sessionStorage.removeItem(KEPT);
    change({ session: null, lost: false });
    tell("The photo that was open here is no longer kept. Please open it again.");
}

function fail(place, error) {
    if (error.status === 404) checkSession();
    complain(place, error.message);
}

// All tabs of a browser together have six connections to a server, and a stream takes one. So a tab that nobody sees
// and that waits for nothing has none. It asks once in a while, which is also how the server knows that it is there.
function attend() {
    if (state.session && (!document.hidden || isWorking())) events ??= listen();
    else hush();
}

document.addEventListener("visibilitychange", attend);
onChange(attend);
setInterval(() => events ?? checkSession(), SOMETIMES);

function hush() {
    events?.close();
    events = null;
}

function listen() {
    const stream = new EventSource(api.address.events(state.session.id));
    stream.onopen = checkSession; // events do not tell everything, nor what was before
    stream.onmessage = (event) => hear(JSON.parse(event.data));
    stream.addEventListener("gone", gone);
    stream.onerror = () => {
        change({ lost: true });
        if (stream.readyState === EventSource.CLOSED) checkLater();
    };
    return stream;
}

function checkLater() {
    clearTimeout(again);
    again = setTimeout(checkSession, AGAIN);
}

// Asks for the session as the server has it, which another tab may have changed.
async function checkSession() {
    const [id, painted] = [state.session?.id, step()?.strokes];
    if (!id) return;
    let session;
    try {
        session = await api.session(id);
    } catch (error) {
        if (state.session?.id !== id) return;
        if (error.status === 404) return gone();
        checkLater();
        return change({ lost: true });
    }
    if (state.session?.id !== id) return;
    // The browser itself reconnects only while it cannot reach the server, not after an answer such as 404.
    if (events?.readyState === EventSource.CLOSED) hush();
    if (!filling && !cancelling && state.opening === null) catchUp(session, painted); // else it may be of before
    change({ lost: false });
}

// Takes over what the server knows, but for strokes that were drawn here since it was asked.
function catchUp({ steps, fill }, painted) {
    const { session } = state;
    session.steps = steps.map((theirs) => {
        const ours = stepOf(session, theirs.number);
        if (!ours) return theirs;
        const drawn = ours === step() && (saving || ours.strokes !== painted);
        const same = drawn || ours.mask?.version === theirs.mask?.version;
        const { strokes, mask } = ours;
        return Object.assign(ours, theirs, same ? { strokes, mask } : { saved: theirs.strokes });
    });
    session.fill = fill;
    follow();
}

// Shows the step that another tab fills, and leaves one that it has given up.
function follow() {
    const { session } = state;
    const wanted = (isWorking() && stepOf(session, session.fill.step)) || step();
    if (wanted && wanted === step()) return;
    Object.assign(state, beginning(wanted ?? session.steps.at(-1)));
    if (wanted) return;
    for (const place of ALERTS) complain(place, "");
    tell("Another tab with this photo went on from an earlier step: this is where it is now.");
}

function hear({ fill, results }) {
    if (cancelling) return;
    const { session } = state;
    const before = isWorking();
    const filled = stepOf(session, fill?.step);
    if (fill ? !filled : session.fill) checkSession(); // another tab has changed the steps
    session.fill = fill;
    if (filled) filled.results = results;
    if (before && !isWorking()) {
        state.editing = isNothingNew();
        if (fill?.state === "failed") complain(state.editing ? "fill-alert" : "done-alert", fill.error);
        if (fill?.state === "done") announce("Done.");
    }
    follow();
    change({});
}

onChange(() => {
    if (mode() === "start") return;
    const { session, step: number, editing, preset, count } = state;
    sessionStorage.setItem(KEPT, JSON.stringify({ id: session.id, step: number, editing, preset, count }));
});
