// The reference. On a developer's own machine it uses the demo key, like the page at /.

const demoKey = async () => {
  const answer = await fetch("/demo.json");
  return answer.ok ? (await answer.json()).api_key : null;
};

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  filter: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
  onComplete: async () => {
    const key = await demoKey().catch(() => null);
    if (key) {
      ui.preauthorizeApiKey("apiKey", key);
    }
    document.body.dataset.ready = key ? "authorised" : "open";
  },
});
