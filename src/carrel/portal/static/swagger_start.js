// Starts Swagger UI on the document that the page names; signs in by code and PKCE.
const place = document.getElementById("swagger");
const ui = SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  displayOperationId: true,
  docExpansion: "none",
  validatorUrl: null,
  oauth2RedirectUrl: place.dataset.redirect,
  presets: [SwaggerUIBundle.presets.apis],
  requestInterceptor: (request) => {
    request.credentials = "omit"; // the portal's cookie is no proof here: sign in as a client does
    return request;
  },
});
ui.initOAuth({
  clientId: place.dataset.client,
  scopes: place.dataset.scope,
  usePkceWithAuthorizationCodeGrant: true,
});
