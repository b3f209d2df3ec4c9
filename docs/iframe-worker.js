// A page that was opened from a folder may start no worker: the search's then runs in a hidden frame.
if (location.protocol === "file:") {
    window.Worker = class extends EventTarget {
        constructor(url) {
            super();
            this.frame = document.createElement("iframe");
            this.frame.hidden = true;
            document.body.append(this.frame);
            const inner = this.frame.contentWindow;
            inner.document.open();
            inner.document.write("<!doctype html><title></title><body></body>");
            inner.document.close();
            inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
            const script = inner.document.createElement("script");
            script.src = url;
            this.ready = new Promise((ready) => (script.onload = ready));
            inner.document.body.append(script);
        }

        postMessage(data) {
            const inner = this.frame.contentWindow;
            this.ready.then(() => inner.dispatchEvent(new inner.MessageEvent("message", { data })));
        }

        terminate() {
            this.frame.remove();
        }
    };
}
