// Everything that the page knows, in one place. Whoever changes it calls change(); the parts then draw themselves anew.

export const state = {
    about: null,
    session: null, // as in the server's answers; its strokes, masks, results and fill are kept up to date here
    step: 0, // the number of the one that is shown
    editing: true, // painting on the step, as opposed to looking at its results
    undone: [], // strokes that Redo brings back
    tool: "brush",
    size: 40, // of the brush, in pixels of the photo
    preset: "default", // the quality of the next fill
    count: 1, // and how many variants it makes
    chosen: null, // the number of the result that is shown
    split: 0, // left of this share of the width the photo is shown as it was before
    holding: false, // the original is shown as long as this is true
    lost: false, // the server does not answer
    opening: null, // the share of a photo that has gone to the server, which then reads it; null if none is opened
};

const listeners = [];

/** Calls the listener after each change. */
export function onChange(listener) {
    listeners.push(listener);
}

/** Changes some of the state and lets everybody know. */
export function change(some) {
    Object.assign(state, some);
    for (const listener of listeners) listener();
}

/** A step by its number, which is not its place in the list; undefined if it is not there (any more). */
export function stepOf(session, number) {
    return session?.steps.find((one) => one.number === number);
}

/** The step that is shown, or null. */
export function step() {
    return stepOf(state.session, state.step) ?? null;
}

/** Whether a fill is under way. */
export function isWorking() {
    return ["waiting", "preview", "filling"].includes(state.session?.fill?.state);
}

/** What the page is at: "start", "painting", "working" or "done". */
export function mode() {
    if (!state.session) return "start";
    if (isWorking()) return "working";
    return state.editing ? "painting" : "done";
}

/** The results of the step that are no previews. */
export function variants() {
    return step()?.results.filter((result) => !result.preview) ?? [];
}

/** What the last fill has made so far of the step that is shown, its preview too; the results of earlier ones stay. */
export function made() {
    const fill = state.session?.fill;
    return fill?.step === state.step ? step().results.filter((result) => result.number >= fill.first) : [];
}

/** The result to be shown now, or null. */
export function shownResult() {
    if (mode() === "working") return made().at(-1) ?? null;
    if (mode() === "done") return variants().find((result) => result.number === state.chosen) ?? variants()[0] ?? null;
    return null;
}
