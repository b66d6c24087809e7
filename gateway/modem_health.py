"""What is known of a modem while it works, and what the site file wants of it."""

import msgspec

from device_profiles.codecs.at_modem_answers import Signal
from gateway.modem_config import ModemConfig


class ModemHealth(msgspec.Struct):
    """What is known of a modem. None: not measured. ``sent`` counts what the modem took, ``reported`` what it said has
    left; ``unsent`` what it said has not, or was thrown away here."""

    state: str = "closed"
    trouble: str = ""
    imei: str | None = None
    registration: str = "unknown"
    cell: str = ""
    rsrp_dbm: float | None = None
    rsrq_db: float | None = None
    snr_db: float | None = None
    coverage: int | None = None
    sleeping: bool = False
    sent: int = 0
    reported: int = 0
    unsent: int = 0
    received: int = 0
    strangers: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    sockets: int = 0
    restarts: int = 0
    starts: int = 0
    timeouts: int = 0
    rejects: dict[str, int] = {}

    def words(self) -> str:
        """Where it stands, for an operator."""
        if self.trouble:
            return self.trouble
        return f"no network ({self.registration})" if self.state == "searching" else self.state

    def report(self) -> str:
        """Registration and signal in a line; "-" for what the modem does not say."""
        figures = (("RSRP", self.rsrp_dbm, " dBm"), ("SNR", self.snr_db, " dB"), ("coverage level", self.coverage, ""))
        told = [f"{name} {'-' if value is None else f'{value:g}{unit}'}" for name, value, unit in figures]
        return ", ".join([self.registration, *told, f"IMEI {self.imei or '-'}"])

    def take(self, signal: Signal) -> None:
        """The radio's newest figures."""
        self.rsrp_dbm, self.rsrq_db = signal.rsrp_dbm, signal.rsrq_db
        self.snr_db, self.coverage = signal.snr_db, signal.coverage


def settings_of(config: ModemConfig) -> list[str]:
    """What the site file wants of the modem (TS 27.007: 10.1.1, 10.1.22, 7.38, 7.40)."""
    wanted = [] if config.apn is None else [f'AT+CGDCONT=1,"IP","{config.apn}"']
    psm, edrx = config.psm, config.edrx
    wanted.append("AT+CPSMS=0" if psm is None else f'AT+CPSMS=1,,,"{psm.periodic}","{psm.active}"')
    wanted.append("AT+CEDRXS=0,5" if edrx is None else f'AT+CEDRXS=1,5,"{edrx}"')
    return [*wanted, "AT+NPSMR=1", "AT+CEREG=1", "AT+CEREG=4"]  # 4 is not in every firmware: then 1 stays
