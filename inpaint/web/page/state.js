// Everything that the page knows, in one place. Whoever changes it calls change(); the parts then draw themselves anew.

export const state = {
    about: null,
    session: null, // as in the server's answers; its strokes, masks, results and fill are kept up to date here
    step: 0, // the one that is shown
    turn: Date.now(), // another one whenever a step's number is given to another photo
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
    upload: null, // the share of a photo that has gone to the server
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

/** The step that is shown, or null. */
export function step() {
    return state.session?.steps[state.step] ?? null;
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

/** The result to be shown now, or null. */
export function shownResult() {
    if (mode() === "working") return step().results.at(-1) ?? null;
    if (mode() === "done") return variants().find((result) => result.number === state.chosen) ?? variants()[0] ?? null;
    return null;
}
