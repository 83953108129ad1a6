"""What the officers' pages say, in Dutch and English."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = ("nl", "en")

_WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Goedkeuringen", "Approvals"),
    "skip": ("Naar de inhoud", "Skip to content"),
    "signed_in_as": ("Aangemeld als", "Signed in as"),
    "sign_in": ("Aanmelden", "Sign in"),
    "sign_out": ("Afmelden", "Sign out"),
    "sign_in_why": (
        "Meld u aan met uw account van de organisatie.",
        "Sign in with your account of the organisation.",
    ),
    "development": (
        "ONTWIKKELOMGEVING: aanmelden zonder bewijs. Hier telt niets.",
        "DEVELOPMENT: signing in without proof. Nothing counts here.",
    ),
    "person": ("Persoon", "Person"),
    "open_proposals": ("Openstaande voorstellen", "Open proposals"),
    "no_proposals": (
        "Er staan geen voorstellen open. Stel iets voor met de opdracht hyok.",
        "No proposals are open. Propose something with the command hyok.",
    ),
    "authenticators": ("Mijn beveiligingssleutels", "My authenticators"),
    "no_authenticators": (
        "U heeft nog geen beveiligingssleutel. Registreer er een hieronder.",
        "You have no authenticator yet. Register one below.",
    ),
    "register": ("Beveiligingssleutel registreren", "Register an authenticator"),
    "register_why": (
        "Een andere functionaris keurt de registratie goed; daarna kunt u ermee ondertekenen.",
        "Another officer approves the registration; after that you can sign with it.",
    ),
    "proposal": ("Voorstel", "Proposal"),
    "act": ("Handeling", "Act"),
    "author": ("Aanvrager", "Author"),
    "state": ("Stand", "State"),
    "missing": ("Ontbrekende goedkeuringen", "Approvals missing"),
    "reason": ("Reden", "Reason"),
    "classification": ("Classificatie", "Classification"),
    "expires": ("Verloopt", "Expires"),
    "effect": ("Wat er precies gebeurt", "Exactly what will happen"),
    "canonical": ("De tekst die u ondertekent", "The text that you sign"),
    "digest": ("SHA-256 van deze tekst", "SHA-256 of this text"),
    "decisions": ("Wat anderen ervan zeggen", "What others say of it"),
    "verdict": ("Oordeel", "Verdict"),
    "method": ("Waarmee", "By"),
    "when": ("Wanneer", "When"),
    "your_decision": ("Uw beslissing", "Your decision"),
    "why": ("Toelichting (niet verplicht)", "Why (optional)"),
    "why_wanted": ("Waarom", "Why"),
    "approve": ("Goedkeuren met beveiligingssleutel", "Approve with authenticator"),
    "execute": ("Uitvoeren met beveiligingssleutel", "Execute with authenticator"),
    "approve_plain": ("Goedkeuren", "Approve"),
    "execute_plain": ("Uitvoeren", "Execute"),
    "refuse": ("Afwijzen", "Refuse"),
    "withdraw": ("Intrekken", "Withdraw"),
    "own": (
        "Dit is uw eigen voorstel: een ander keurt het goed. U kunt het intrekken. Deed u het met "
        "alleen een aanmelding, dan is één goedkeuring meer nodig, tenzij u het zelf uitvoert.",
        "This is your own proposal: somebody else approves it. You can withdraw it. Where you made "
        "it by being signed in alone, it takes one approval more, unless you execute it yourself.",
    ),
    "needs_script": (
        "Goedkeuren en uitvoeren vraagt om een beveiligingssleutel, en daarvoor om JavaScript. "
        "Afwijzen en intrekken kan zonder.",
        "To approve and to execute takes an authenticator, and that takes JavaScript. "
        "To refuse and to withdraw does not.",
    ),
    "back": ("Terug naar de voorstellen", "Back to the proposals"),
    "over": ("Dit voorstel is afgelopen.", "This proposal is over."),
    "refused_title": ("Dit is niet gedaan", "This was not done"),
    "next": ("Wat u kunt doen", "What you can do"),
    "signed_in": ("U bent aangemeld.", "You are signed in."),
    "go_on": ("Ga verder", "Go on"),
    "busy": ("Gebruik nu uw beveiligingssleutel.", "Use your authenticator now."),
    "done": ("Gedaan.", "Done."),
    "differs": (
        "Gestopt: wat u zou ondertekenen is niet wat hier staat.",
        "Stopped: what you would sign is not what is shown here.",
    ),
    "language": ("English", "Nederlands"),
}

STATES: Mapping[str, tuple[str, str]] = {
    "open": ("open", "open"),
    "approved": ("goedgekeurd", "approved"),
    "refused": ("afgewezen", "refused"),
    "withdrawn": ("ingetrokken", "withdrawn"),
    "expired": ("verlopen", "expired"),
    "executing": ("wordt uitgevoerd", "being executed"),
    "executed": ("uitgevoerd", "executed"),
    "failed": ("mislukt", "failed"),
    "not genuine": ("NIET ECHT", "NOT GENUINE"),
    "propose": ("voorgesteld", "proposed"),
    "approve": ("goedgekeurd", "approved"),
    "refuse": ("afgewezen", "refused"),
    "withdraw": ("ingetrokken", "withdrawn"),
}


def words(language: str) -> dict[str, str]:
    """Return what the pages say in a language."""
    at = LANGUAGES.index(language)
    return {name: both[at] for name, both in _WORDS.items()}


def state_word(state: str, language: str) -> str:
    """Return a state or verdict as people read it."""
    return STATES.get(state, (state, state))[LANGUAGES.index(language)]


def language_of(asked: str, chosen: str, accepted: str) -> str:
    """Return the language of a page: asked for, chosen before, the browser's, or Dutch."""
    for word in (asked, chosen):
        if word in LANGUAGES:
            return word
    for part in accepted.split(",")[:8]:
        word = part.strip()[:2].lower()
        if word in LANGUAGES:
            return word
    return "nl"
