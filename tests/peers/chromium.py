"""Debian's Chromium, driven over its own protocol (CDP), with a virtual authenticator."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

START_SECONDS_MAX = 60
WAIT_SECONDS_MAX = 40


@dataclass
class Chromium:
    """One browser with one page; use it as an asynchronous context manager."""

    folder: Path
    console: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        program = shutil.which("chromium")
        assert program is not None, "chromium is not installed; ./hyok test installs it as root"
        profile = self.folder / "profile"
        self._out = (self.folder / "chromium.out").open("wb")
        self._process = subprocess.Popen(
            [
                *(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update"),
                *("--ignore-certificate-errors", f"--user-data-dir={profile}"),
                *("--remote-debugging-port=0", "--lang=en", "about:blank"),
            ],
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        file = profile / "DevToolsActivePort"
        while not file.exists() or "\n" not in file.read_text():
            assert self._process.poll() is None, (self.folder / "chromium.out").read_text()[-2000:]
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        port = file.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [one for one in await answer.json() if one["type"] == "page"]
        self._socket = await self._session.ws_connect(
            pages[0]["webSocketDebuggerUrl"], max_msg_size=0
        )
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "WebAuthn", "Log"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            waiting = self._waiting.pop(said.get("id", -1), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)
            elif said.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.console.append(json.dumps(said["params"])[:500])

    async def call(self, method: str, **params: object) -> Any:
        self._number += 1
        self._waiting[self._number] = asyncio.get_running_loop().create_future()
        answer = self._waiting[self._number]
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        said = await asyncio.wait_for(answer, WAIT_SECONDS_MAX)
        assert "error" not in said, f"{method}: {said['error']}"
        return said["result"]

    async def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        said = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def wait(self, condition: str) -> Any:
        """Wait until an expression in the page is true; pages may change meanwhile."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            try:
                found = await self.run(condition)
            except AssertionError:
                found = None  # between two pages
            if found:
                return found
            if time.monotonic() > deadline:
                text = await self.run("location.href + '\\n' + document.body.innerText")
                raise AssertionError(f"{condition} never held on {text}\n{self.console}")
            await asyncio.sleep(0.1)

    async def go(self, address: str) -> None:
        await self.call("Page.navigate", url=address)
        await self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def click(self, selector: str) -> None:
        pressable = json.dumps(f"{selector}:not(:disabled)")
        await self.wait(f"document.querySelector({pressable}) !== null")
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def fill(self, selector: str, value: str) -> None:
        await self.wait(f"document.querySelector({json.dumps(selector)}) !== null")
        await self.run(
            f"document.querySelector({json.dumps(selector)}).value = {json.dumps(value)}"
        )

    async def text(self) -> str:
        return str(await self.run("document.body.innerText"))

    async def authenticator(self, *, verified: bool = True) -> str:
        """Plug in a security key; ``verified``: its person types the right PIN."""
        made = await self.call(
            "WebAuthn.addVirtualAuthenticator",
            options={
                "protocol": "ctap2",
                "transport": "usb",
                "hasUserVerification": True,
                "isUserVerified": verified,
                "automaticPresenceSimulation": True,
            },
        )
        return str(made["authenticatorId"])
