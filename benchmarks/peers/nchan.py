"""nchan, the module of nginx, as Debian ships both; unpacked, not installed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.peer import (
    BATCHES,
    INSTALLED,
    PLAIN,
    PRESENCE,
    MissingError,
    Peer,
    Place,
    first_line,
    http_request,
    unpack_debian,
)

FOLDER = INSTALLED / "nchan"
NGINX = FOLDER / "root/usr/sbin/nginx"
MODULES = FOLDER / "root/usr/lib/nginx/modules"
MODULE = "ngx_nchan_module.so"
# Debian's nginx, once nchan is loaded, makes folders here whatever its configuration says.
HOME = Path("/var/lib/nginx")


class Nchan(Peer):
    name = "nchan"
    config = "nginx.conf"
    dialect = "nchan"
    published_body = "*"  # it tells how many subscribers there are, and more
    presence_prefix = ""
    most_channels = 255
    lacks = frozenset({PRESENCE, BATCHES, PLAIN})

    def install(self) -> None:
        if not (MODULES / MODULE).exists():
            unpack_debian(FOLDER, "nginx", "libnginx-mod-nchan")
        _make_home()
        said = first_line(str(NGINX), "-v")
        if "nginx" not in said:
            raise MissingError(f"Debian's nginx does not start: {said}")

    def version(self) -> str:
        nginx = first_line(str(NGINX), "-v").rpartition("/")[2]
        package = next(FOLDER.glob("libnginx-mod-nchan_*.deb")).name
        nchan = package.split("_")[1].replace("%3a", ":").partition(":")[2].partition("+")[0]
        return f"{nchan} in nginx {nginx}"

    def command(self, config: Path) -> list[str]:
        return [str(NGINX), "-p", str(config.parent), "-c", str(config)]

    def configuration(self, place: Place) -> dict[str, str]:
        tls = ""
        if place.certificate is not None:
            tls = f" ssl; ssl_certificate {place.certificate}; ssl_certificate_key {place.key}"
        place.directory.chmod(0o711)  # its worker gives up root
        return {"tls": tls, "modules": str(MODULES)}

    def publish(self, channel: str, data: str) -> bytes:
        return http_request(f"/pub/{channel}", data.encode())

    def publish_batch(self, channel: str, data: list[str]) -> bytes:
        raise NotImplementedError(BATCHES)


def _make_home() -> None:
    try:
        HOME.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingError(f"nginx needs the folder {HOME}: {error}") from None
