"""Is there a network? Asked before a download, which would try for minutes."""

import threading
from collections.abc import Iterable
from urllib.parse import urlsplit

# Seconds, for all hosts together; looking up a name has no limit itself. `train` takes
# 2.5 s to come here, and a user is to be told within 10.
WITHIN = 5.0


def unreachable(urls: Iterable[str]) -> str | None:
    """Why some host of these addresses cannot be downloaded from, or None.

    Asks for the head of one file of each host, through the proxy if the environment
    names one. Answers within WITHIN seconds.
    """
    hosts = {urlsplit(url).netloc: url for url in urls}
    reasons: dict[str, str | None] = {}

    def ask(host: str, url: str) -> None:
        reasons[host] = _refusal(url)

    threads = [
        threading.Thread(target=ask, args=item, daemon=True) for item in hosts.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN / len(threads))
    for host in hosts:
        reason = reasons.get(host, f"no answer within {WITHIN:.0f} s")
        if reason is not None:
            return f"{host}: {reason}"
    return None


def _refusal(url: str) -> str | None:
    import requests

    try:
        answer = requests.head(url, timeout=WITHIN / 2, allow_redirects=True)
    except requests.RequestException as error:
        return f"no connection, {type(error).__name__}"
    if answer.ok or answer.status_code == 405:  # the host lives, but gives no heads
        return None
    return f"answers {answer.status_code}"
