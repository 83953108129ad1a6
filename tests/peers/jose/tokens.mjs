// Opens and makes tokens with the library jose: one JSON request on each line of the input.
import { createInterface } from "node:readline";
import { CompactEncrypt, compactDecrypt, importJWK } from "jose";

const crit = { ctx: true };

async function answer({ act, jwk, header, token, plaintext }) {
  const key = await importJWK(jwk, jwk.alg);
  if (act === "open") {
    const algorithms = { keyManagementAlgorithms: [jwk.alg], contentEncryptionAlgorithms: ["A256GCM"] };
    const found = await compactDecrypt(token, key, { ...algorithms, crit });
    return { plaintext: Buffer.from(found.plaintext).toString("base64"), header: found.protectedHeader };
  }
  const made = new CompactEncrypt(Buffer.from(plaintext, "base64")).setProtectedHeader(header);
  return { token: await made.encrypt(key, { crit }) };
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  } catch (error) {
    console.log(JSON.stringify({ error: `${error.code}: ${error.message}` }));
  }
}
