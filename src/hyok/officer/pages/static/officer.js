// Signs with an authenticator what the page shows, and nothing else.
"use strict";

const bytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function tell(message, failed) {
  const status = document.getElementById("status");
  status.textContent = message;
  status.classList.toggle("failed", Boolean(failed));
  status.focus();
}

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    credentials: "same-origin",
    headers: {
      "content-type": "application/json",
      "x-csrf-token": document.querySelector("meta[name=csrf]").content,
    },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error([said.code, said.detail, said.nextStep].filter(Boolean).join(" "));
  return said;
}

async function digest(value) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value)));
}

const hex = (raw) => Array.from(raw, (b) => b.toString(16).padStart(2, "0")).join("");

async function sign(form, verdict) {
  const at = `/v1/proposals/${form.dataset.proposal}`;
  const reason = verdict === "execute" ? "" : form.elements.reason.value;
  const asked = await post(`${at}/statements`, { verdict, method: "webauthn", reason });
  // What is about to be signed has to be about exactly the text on this page.
  const shown = hex(await digest(document.getElementById("canonical").textContent));
  const about = JSON.parse(asked.statement);
  const challenge = text(await digest("hyok officer\n" + asked.statement));
  const verdicts = { execute: undefined, approve: "approve" };
  if (about.digest !== shown || about.verdict !== verdicts[verdict] || challenge !== asked.challenge) {
    throw new Error(form.dataset.differs);
  }
  tell(form.dataset.busy);
  const made = await navigator.credentials.get({
    publicKey: {
      challenge: bytes(asked.challenge),
      rpId: asked.rpId,
      userVerification: "required",
      allowCredentials: asked.credentials.map((one) => ({
        type: "public-key",
        id: bytes(one.credentialId),
      })),
      timeout: 120000,
    },
  });
  const signature = {
    method: "webauthn",
    atMs: asked.atMs,
    sequence: asked.sequence,
    credentialId: text(made.rawId),
    clientData: text(made.response.clientDataJSON),
    authenticatorData: text(made.response.authenticatorData),
    signature: text(made.response.signature),
  };
  if (verdict === "execute") return post(`${at}/executions`, { signature });
  return post(`${at}/decisions`, { verdict, reason, signature });
}

async function register(form) {
  const asked = await post("/v1/authenticator-challenges", {});
  tell(form.dataset.busy);
  const made = await navigator.credentials.create({
    publicKey: {
      challenge: bytes(asked.challenge),
      rp: { id: asked.rpId, name: "hyok" },
      user: { id: bytes(asked.userId), name: asked.person, displayName: asked.name },
      pubKeyCredParams: asked.algorithms.map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { userVerification: "required", residentKey: "discouraged" },
      excludeCredentials: asked.known.map((one) => ({
        type: "public-key",
        id: bytes(one.credentialId),
      })),
      attestation: "none",
      timeout: 120000,
    },
  });
  return post("/v1/authenticators", {
    challenge: asked.challenge,
    clientData: text(made.response.clientDataJSON),
    attestation: text(made.response.attestationObject),
    reason: form.elements.reason.value,
  });
}

function run(form, work, after) {
  const buttons = form.querySelectorAll("button");
  buttons.forEach((button) => { button.disabled = true; });
  work()
    .then((said) => { tell(form.dataset.done); after(said); })
    .catch((error) => {
      tell(error.message, true);
      buttons.forEach((button) => { button.disabled = false; });
    });
}

// Buttons that sign come disabled: pressed before this script listens, they would only be refused.
function enable(form) {
  form.querySelectorAll("button:disabled").forEach((button) => { button.disabled = false; });
}

const decide = document.getElementById("decide");
if (decide) {
  decide.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || !("sign" in button.dataset)) return;
    event.preventDefault();
    run(decide, () => sign(decide, button.value), () => location.reload());
  });
  enable(decide);
}

const registering = document.getElementById("register");
if (registering) {
  registering.addEventListener("submit", (event) => {
    event.preventDefault();
    run(registering, () => register(registering), (said) => {
      location.assign(`/proposals/${said.id}`);
    });
  });
  enable(registering);
}
