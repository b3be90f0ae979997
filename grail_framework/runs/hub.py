"""Files of the release on the hub: asking for one, streaming it, and one message for each thing that can be wrong with it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import urlsplit

import attrs

from grail_framework.errors import DownloadError
from grail_framework.runs.bundle_catalogue import FOLDER, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALLER: Final = "grail-framework"
"""How the framework calls itself in a request."""


@attrs.frozen(kw_only=True)
class HubFile:
    """A file as the hub announces it."""

    name: str
    """`<bundle>/<file>`."""
    url: str
    """Its address at `commit`, which stays the same while a branch goes on."""
    size: int | None
    """Bytes; None where the hub does not say."""
    etag: str | None
    """The digest of its content, or what else the server identifies it by."""
    commit: str
    """The commit that the revision was."""


def find_on_hub(name: str, *, revision: str, endpoint: str | None) -> HubFile:
    """Ask the hub for `<bundle>/<file>` at a branch, tag or commit; `endpoint` None: the library's own, or that of `HF_ENDPOINT`.

    Raises:
        DownloadError: it cannot be reached, refuses, or has no such revision or file.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    path = f"{FOLDER}/{name}"
    url = hf_hub_url(REPOSITORY, path, repo_type="dataset", revision=revision, endpoint=endpoint)
    with _explained(url, f"{path} at revision {revision!r}"):
        found = get_hf_file_metadata(url, endpoint=endpoint, library_name=_CALLER)
    if found.commit_hash is None:
        raise DownloadError(f"{_host(url)} does not answer like a hub (no commit for {path}); check --endpoint and HF_ENDPOINT")
    pinned = hf_hub_url(REPOSITORY, path, repo_type="dataset", revision=found.commit_hash, endpoint=endpoint)
    return HubFile(name=name, url=pinned, size=found.size, etag=found.etag, commit=found.commit_hash)


def stream_from_hub(remote: HubFile, file: BinaryIO, *, start: int) -> None:
    """Append what follows the first `start` bytes to a file that holds these; a connection that breaks is taken up again some times.

    Raises:
        DownloadError: the server refuses or stays away, or another number of bytes came than announced.
        OSError: the disk does not take it.
    """
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    # Compressed on the way, neither the size nor the place to go on from would be those of the file.
    headers = build_hf_headers(library_name=_CALLER) | {"Accept-Encoding": "identity"}
    with _explained(remote.url, f"{remote.name}: what came is kept, the same command goes on from there"):
        try:
            http_get(
                remote.url, file, resume_size=start, headers=headers, expected_size=remote.size, displayed_filename=remote.name
            )
        except OSError as error:
            # Without a number it is the library's: it counted other bytes than announced.
            if error.errno is not None or _is_refusal(error) or remote.size is None:
                raise
            came = file.tell()
            if came > remote.size:
                file.truncate(0)
            raise DownloadError(f"{remote.name}: {came} of {remote.size} bytes came; run the command again") from error


def _is_refusal(error: OSError) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, HfHubHTTPError)


@contextmanager
def _explained(url: str, what: str) -> Iterator[None]:
    """Turn what the hub's library raises into one message.

    Raises:
        DownloadError: the library raised.
    """
    import httpx
    from huggingface_hub import errors

    host = _host(url)
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise DownloadError(f"HF_HUB_OFFLINE is set and this is to be fetched: {what}; unset it") from error
    except errors.RevisionNotFoundError as error:
        raise DownloadError(
            f"{REPOSITORY} has no such revision: {what}; name a branch, tag or commit with --revision, or leave it out"
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise DownloadError(
            f"{REPOSITORY} has no {what}; try another --revision, or fetch other bundles with --only"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DownloadError(
            f"{host} does not show {REPOSITORY}: it is closed to you, or wants its terms accepted; log in with `hf auth login` "
            "or set HF_TOKEN"
        ) from error
    except errors.HfHubHTTPError as error:
        raise DownloadError(f"{host} answers {error.response.status_code} ({what}); try again later") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DownloadError(
            f"{host} cannot be reached ({type(error).__name__}: {error}; {what}). Check the network, proxy settings, --endpoint and "
            "HF_ENDPOINT"
        ) from error


def _host(url: str) -> str:
    return urlsplit(url).netloc or url
