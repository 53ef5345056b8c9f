"""Which settings does a site have? One file, the environment over it, nothing hidden.

The file is `carrel.toml` in the home folder; every setting can also be given as an
environment variable `CARREL_<NAME>`. docs/reference/settings.md is written from this class.
"""

import os
import re
import tomllib
from decimal import Decimal
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from carrel.core.errors import InvalidRequest

CONFIG_NAME = "carrel.toml"
ROOT_ENVIRONMENTS = Path("/opt/carrel/environments")
"""The environment images that root has built, for everybody on this host."""
OPTIONAL_GUID = r"^([0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12})?$"
REDIRECT_URI = r"^https://[^/?#@\s\\]+(/[^#\s\\]*)?$"

AIRLOCK_ENDPOINT = r"^((https://[^/?#@\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/[^?#\s]*)?)?$"


def default_home() -> Path:
    """Return where a TRE lives if nobody says otherwise: depends on root or ordinary user."""
    named = os.environ.get("CARREL_HOME")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/carrel")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return Path(base) / "carrel"


def default_environments() -> Path:
    """Return where environment images lie if nobody says otherwise: root's, or this user's."""
    if os.geteuid() == 0:
        return ROOT_ENVIRONMENTS
    return Path("~/.local/share/carrel/environments").expanduser()


class Settings(BaseSettings):
    """Every setting of a TRE. All have defaults that give a working single machine."""

    model_config = SettingsConfigDict(env_prefix="CARREL_", extra="forbid", frozen=True)

    home: Path = Field(
        default_factory=default_home, description="Folder of everything this TRE keeps."
    )
    tre_name: str = Field("Carrel", description="Name shown in the portal.")
    tre_id: str = Field(
        "carrel", pattern=r"^[a-z][a-z0-9-]{0,31}$", description="Short id of the TRE."
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL; empty means SQLite in the home folder."
    )
    portal_host: str = Field(
        "localhost", description="Host name people type for the portal and API."
    )
    portal_port: int = Field(8443, ge=0, le=65535, description="Port of the portal and API.")
    gateway_host: str = Field(
        "{workspace}.carrel.localhost",
        description="Host name of the gateway, with {workspace} for one origin per workspace (on a "
        "server: wildcard DNS). Without {workspace} all workspaces share one origin, so a page of "
        "one can act in another: for trials only. It must differ from portal_host, because "
        "cookies ignore ports.",
    )
    gateway_port: int = Field(8444, ge=0, le=65535, description="Port of the gateway.")
    bind_address: str = Field("127.0.0.1", description="Address the portal and gateway listen on.")
    tls_certificate: Path | None = Field(
        None, description="PEM certificate chain; by default the TRE's own authority makes one."
    )
    tls_key: Path | None = Field(None, description="PEM key of tls_certificate.")
    tenant_id: str = Field(
        "",
        pattern=OPTIONAL_GUID,
        description="Tenant id in access tokens. Empty: derived from this TRE's own key.",
    )
    api_client_id: str = Field(
        "",
        pattern=OPTIONAL_GUID,
        description="Client id of the API, the audience of core tokens. Empty: derived likewise.",
    )
    authority_url: str = Field(
        "",
        pattern=r"^(https://[^/?#\s]+)?$",
        description="Base address of the embedded issuer of access tokens, without a trailing "
        "slash; empty means the portal's.",
    )
    foreign_issuer: str = Field(
        "", description="`iss` of another issuer whose access tokens are taken too, or empty."
    )
    foreign_audience: str = Field(
        "", description="Audience of core tokens of foreign_issuer: its client id for this API."
    )
    foreign_jwks_url: str = Field(
        "", description="https address of the keys (JWKS) of foreign_issuer."
    )
    foreign_keys_file: Path | None = Field(
        None, description="JWKS file with the keys of foreign_issuer, instead of the address."
    )
    foreign_ca_file: Path | None = Field(
        None, description="PEM file of the authority that vouches for the host of foreign_jwks_url."
    )
    foreign_accounts: Literal["known", "create"] = Field(
        "known",
        description="known: only people whom an administrator has linked to an account; create: "
        "an account is made when somebody's token is first seen.",
    )
    user_management: Literal["owners", "admins", "off"] = Field(
        "owners",
        description="Who gives roles in workspaces: their owners and TRE administrators, only "
        "administrators, or nobody in Carrel.",
    )
    requests_per_minute: int = Field(
        6000, ge=0, description="Requests of one account per minute and process; 0 is no limit."
    )
    request_burst: int = Field(
        600, ge=1, description="Requests of one account that may come at once."
    )
    redirect_uris: list[Annotated[str, Field(pattern=REDIRECT_URI)]] = Field(
        default_factory=list,
        description="Whole https:// addresses of pages elsewhere that may be sent the codes of "
        "people who sign in (AzureTRE's portal, say). Programs on a person's own machine need "
        "none.",
    )
    certificate_names: list[str] = Field(
        default_factory=list,
        description="More host names in the TRE's own certificate.",
    )
    session_idle_minutes: int = Field(
        60, ge=1, description="A browser session ends after this idle time."
    )
    session_hours: int = Field(12, ge=1, description="A session ends after this time in any case.")
    sign_in_attempts: int = Field(
        5, ge=1, description="Failed sign-ins per account before it must wait, doubling each time."
    )
    worker_slots: int = Field(
        4, ge=1, le=64, description="Operations that one worker runs at once."
    )
    lease_seconds: float = Field(
        20.0,
        gt=0,
        description="A worker that does not renew its lease for this long lost its work.",
    )
    operation_minutes: float = Field(
        60.0,
        gt=0,
        description="An operation that runs longer fails, and what it made is removed; a template "
        "may say otherwise, and a deletion takes as long as it takes.",
    )
    step_minutes: float = Field(
        30.0, gt=0, description="A single step of an operation that takes longer fails."
    )
    work_attempts: int = Field(
        5,
        ge=1,
        description="Work that failed by a bug, or took its worker down, so often in a row is put "
        "aside as a dead letter.",
    )
    reconcile_seconds: float = Field(5.0, gt=0, description="Pause between two reconciler rounds.")
    meter_seconds: float = Field(
        15.0, gt=0, description="Pause between two samples of every meter."
    )
    small_count_threshold: int = Field(
        10, ge=2, description="A table cell that counts fewer people than this is flagged."
    )
    release_ticket_minutes: int = Field(
        60, ge=1, description="Life of a release's download ticket."
    )
    request_file_limit: int = Field(100, ge=1, description="Files in one airlock request.")
    request_bytes_limit: int = Field(2 * 2**30, ge=1, description="Bytes in one airlock request.")
    airlock_store: str = Field(
        "",
        pattern=r"^((s3|az)://[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9._/-]*)?)?$",
        description="Where the files of airlock requests lie: s3://BUCKET/PREFIX, "
        "az://CONTAINER/PREFIX, or empty for a folder in the home.",
    )
    airlock_store_endpoint: str = Field(
        "",
        pattern=AIRLOCK_ENDPOINT,
        description="Address of the S3 or Blob service of airlock_store; empty: Amazon's, or the "
        "one of the account at Azure. http only on this machine.",
    )
    airlock_store_region: str = Field(
        "us-east-1", description="Region of the bucket of airlock_store, for S3."
    )
    airlock_store_key_file: Path | None = Field(
        None,
        description="File of two lines for airlock_store: the access key id (S3) or the name of "
        "the account (Azure), and the secret. Nobody but Carrel may read it. S3 on a machine with "
        "a role of its own needs none.",
    )
    package_index_url: str = Field(
        "",
        description="Upstream Python package index (simple API, JSON). Empty: the one that pip "
        "on this machine is configured for.",
    )
    package_age_days: int = Field(
        0, ge=0, description="Releases younger than this are hidden from workspaces; 0 is off."
    )
    egress_allow_private: list[str] = Field(
        default_factory=list,
        description="host:port entries on private addresses that open workspaces may reach.",
    )
    azure_location: str = Field(
        "", description="Value of the property azure_location, for templates made for Azure."
    )
    core_address_space: IPv4Network = Field(
        IPv4Network("10.0.0.0/16"),
        description="Range of addresses that no workspace is given: the TRE's own.",
    )
    workspace_address_pool: IPv4Network = Field(
        IPv4Network("10.0.0.0/8"),
        description="Range out of which workspaces get their address spaces. They are records "
        "for templates and clients: a workspace of this machine has no network interface.",
    )
    currency: str = Field(
        "GBP", pattern=r"^[A-Z]{3}$", description="Currency of the prices, as in ISO 4217."
    )
    price_cpu_hour: Decimal = Field(
        Decimal(0), ge=0, description="Price of an hour of one CPU; 0: not charged here."
    )
    price_memory_gib_hour: Decimal = Field(
        Decimal(0), ge=0, description="Price of an hour of one GiB of memory in use."
    )
    price_disk_gib_month: Decimal = Field(
        Decimal(0), ge=0, description="Price of a month (730 hours) of one GiB of disk in use."
    )
    environments_root: Path | None = Field(
        None, description="Folder of the environment images; default depends on root or user."
    )
    template_folders: list[Path] = Field(
        default_factory=list,
        description="More folders with template bundles, besides the shipped ones.",
    )
    template_map: Path | None = Field(
        None,
        description="TOML file that maps templates of AzureTRE to drivers, before the shipped map.",
    )
    plain_errors: bool = Field(
        False,
        description="Answer errors of the API as plain text to clients that accept anything, as "
        "AzureTRE does; otherwise only to those that ask for text/plain.",
    )
    swagger: bool = Field(True, description="Offer the API's pages to try it out, at /api/docs.")
    cors_origins: list[str] = Field(
        default_factory=list,
        description="Origins of separately served portals whose scripts may call the API, for "
        "instance http://localhost:3000.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, then the home's file."""
        del dotenv_settings, file_secret_settings
        home = init_settings().get("home") or default_home()
        file = TomlConfigSettingsSource(settings_cls, Path(home) / CONFIG_NAME)
        return init_settings, env_settings, file

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite", "postgresql")):
            raise ValueError("it must begin with sqlite or postgresql")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for each in value:
            if not re.fullmatch(r"https?://[^/?#*\s]+", each):
                raise ValueError(
                    f"{each!r} is not scheme://host[:port], without path and without *"
                )
        return value

    @model_validator(mode="after")
    def _two_doors(self) -> Self:
        if self.portal_port and self.portal_port == self.gateway_port:
            raise ValueError("portal_port and gateway_port are the same; each needs its own")
        if self.portal_host.lower() == self.gateway_host.lower():
            raise ValueError(
                "portal_host and gateway_host are the same; they must differ, because cookies "
                "ignore ports"
            )
        return self

    @model_validator(mode="after")
    def _whole_foreign_issuer(self) -> Self:
        if not self.foreign_issuer:
            return self
        if not self.foreign_audience:
            raise ValueError("foreign_issuer needs foreign_audience beside it")
        if not (self.foreign_keys_file or self.foreign_jwks_url.startswith("https://")):
            raise ValueError("foreign_issuer needs foreign_jwks_url (https) or foreign_keys_file")
        return self

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'carrel.db'}"

    @property
    def portal_url(self) -> str:
        """Address of the portal, without a trailing slash."""
        return f"https://{self.portal_host}:{self.portal_port}"

    @property
    def launcher_socket(self) -> Path:
        """Unix socket of the launcher."""
        return self.home / "run" / "launcher.sock"

    @property
    def environments_folder(self) -> Path:
        """Folder of the environment images. The roles are told it: they have another home."""
        return (self.environments_root or default_environments()).absolute()

    def gateway_url(self, workspace_id: str) -> str:
        """Return the gateway's origin for one workspace, without a trailing slash."""
        host = self.gateway_host.replace("{workspace}", f"w-{workspace_id}")
        return f"https://{host}:{self.gateway_port}"


def load(home: Path | None = None, **given: Any) -> Settings:
    """Read the settings of the TRE in `home`. Raises `InvalidRequest` naming the wrong one."""
    if home is not None:
        given["home"] = home
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f"Setting {name}" if name else "The settings do not fit together"
        why = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{where}: {why}.", field=name or None) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{CONFIG_NAME} is not text in UTF-8: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{CONFIG_NAME} is not valid TOML: {error}.") from error


def child_environment(**changes: str) -> dict[str, str]:
    """Return the process environment for a child process, with `changes` made."""
    return {**os.environ, **changes}
