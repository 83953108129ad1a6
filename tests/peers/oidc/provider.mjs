// An identity provider: npm's oidc-provider with its own sign-in pages, over TLS, in memory.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

const { issuer, port, cert, key, clientId, webRedirect, seconds } = JSON.parse(process.argv[2]);
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: clientId,
      application_type: "web",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      redirect_uris: [webRedirect],
      id_token_signed_response_alg: "RS256",
    },
    ...["hyok-cli", "another-client"].map((client_id) => ({
      client_id,
      application_type: "native",
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      redirect_uris: ["http://127.0.0.1/callback"],
    })),
  ],
  pkce: { required: () => true },
  ttl: { IdToken: seconds, AccessToken: 600, AuthorizationCode: 60, Grant: 3600, Session: 3600,
    Interaction: 600, RefreshToken: 3600 },
  issueRefreshToken: async () => true,
  cookies: { keys: ["only for a test"] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: { devInteractions: { enabled: true } },
});
const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, provider.callback());
server.listen(port, "127.0.0.1", () => console.log("listening"));
