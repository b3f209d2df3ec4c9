// Shows what the server answers to programs. Without validatorUrl no badge of another host would be asked for.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", validatorUrl: null });
