"""The ingest service: ``python -m services.ingest.main``; what it can be told is in ``settings.py``."""

from services.common.service import Shell, run_service
from services.ingest.adapters.folders import checker
from services.ingest.adapters.kafka_sink import Ahead
from services.ingest.adapters.service import Ingest
from services.ingest.adapters.stream_status import Tuning
from services.ingest.core.streams import SpecDefaults, Transport
from services.ingest.settings import IngestSettings


def wire(shell: Shell[IngestSettings]) -> None:
    settings = shell.settings.ingest
    ingest = Ingest(
        shell.kafka,
        shell.metrics,
        shell.tracing,
        tuning=Tuning(
            read_timeout_s=settings.read_timeout_s,
            backoff_most_s=settings.backoff_max_s,
            jpeg_quality=settings.jpeg_quality,
        ),
        defaults=SpecDefaults(settings.rate_fps, settings.short_side_px, Transport(settings.rtsp_transport)),
        check=checker(settings.folders),
        ahead=Ahead(settings.file_ahead_frames, int(settings.file_ahead_mb * 1e6)),
    )
    shell.add_runner("kafka", ingest)


if __name__ == "__main__":
    run_service("ingest", IngestSettings, wire)
