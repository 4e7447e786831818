// An authorization server that nobody here wrote (`oidc-provider`, certified), over TLS:
// node authorization.mjs PORT CERTIFICATE KEY
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, certificate, key] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(`https://localhost:${port}`, {
  clients: [
    { client_id: 'desk', client_secret: 'desk-secret', redirect_uris: ['https://app.example/back'] },
    { client_id: 'gateway', client_secret: 'gateway-secret', redirect_uris: [], response_types: [], grant_types: [] },
  ],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  cookies: { keys: ['cookies of a test'] },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: 'k1' }] },
  scopes: ['openid', 'tools'],
  features: {
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'tools',
        audience: resource,
        accessTokenTTL: 600,
        accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
createServer(tls, provider.callback()).listen(Number(port), '127.0.0.1', () => console.log('ready'));
