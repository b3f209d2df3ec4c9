// What the server can be asked. Each function returns the JSON answer, or throws an ApiError with a sentence to show.

export const LOST = "The server does not answer; is it still running?";

/** A refusal: its message is for the person, status 0 means that nobody answered. */
export class ApiError extends Error {
    constructor(message, status) {
        super(message);
        this.status = status;
    }
}

const at = (sid, step) => `/api/sessions/${sid}/steps/${step}`;

/** The addresses of the pictures and downloads of a step, whose number no other photo ever gets. */
export const address = {
    picture: (sid, step) => `${at(sid, step)}/picture`,
    overlay: (sid, step, version) => `${at(sid, step)}/overlay.png?version=${version}`,
    mask: (sid, step) => `${at(sid, step)}/mask.png`,
    result: (sid, step, number, what) => `${at(sid, step)}/results/${number}/${what}`,
    events: (sid) => `/api/sessions/${sid}/events`,
};

/** What the server is and takes. */
export const about = () => ask("GET", "/api/about");

/** The session as the server knows it. */
export const session = (sid) => ask("GET", `/api/sessions/${sid}`);

/** A new session with the example photo. */
export const example = () => ask("POST", "/api/sessions/example");

/** Cancels and forgets everything of a session. */
export const forget = (sid) => ask("DELETE", `/api/sessions/${sid}`);

/** Sends the whole list of strokes; the answer is the mask. */
export const putStrokes = (sid, step, strokes) => ask("PUT", `${at(sid, step)}/strokes`, { strokes });

/** Starts to fill. */
export const fill = (sid, step, preset, variants) => ask("POST", `${at(sid, step)}/fill`, { preset, variants });

/** Stops the fill at once. */
export const cancel = (sid) => ask("DELETE", `/api/sessions/${sid}/fill`);

/** Makes a result the photo of the next step; the answer is the session. */
export const next = (sid, step, number) => ask("POST", address.result(sid, step, number, "next"));

/** A new session with a photo of the person's own; progress is told as a share from 0 to 1. */
export const upload = (file, progress) => send("/api/sessions", "photo", file, progress);

/** A mask file for a stroke. */
export const uploadMask = (sid, step, file) => send(`${at(sid, step)}/masks`, "mask", file, () => {});

async function ask(method, path, json) {
    const options = { method };
    if (json !== undefined) {
        options.headers = { "Content-Type": "application/json" };
        options.body = JSON.stringify(json);
    }
    const answer = await fetch(path, options).catch(() => {
        throw new ApiError(LOST, 0);
    });
    return read(answer.status, await answer.text());
}

// XMLHttpRequest, because fetch does not tell how much of a file has gone.
function send(path, field, file, progress) {
    return new Promise((resolve, reject) => {
        const form = new FormData();
        form.append(field, file, file.name || "pasted.png");
        const request = new XMLHttpRequest();
        request.open("POST", path);
        request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
        request.onerror = () => reject(new ApiError(LOST, 0));
        request.onload = () => {
            try {
                resolve(read(request.status, request.responseText));
            } catch (error) {
                reject(error);
            }
        };
        request.send(form);
    });
}

function read(status, text) {
    let json = null;
    try {
        json = text ? JSON.parse(text) : null;
    } catch {
        throw new ApiError(`The server's answer could not be read (${status}).`, status);
    }
    if (status < 400) return json;
    const detail = typeof json?.detail === "string" ? json.detail : `The server refused (${status}).`;
    throw new ApiError(detail, status);
}
