"""The shared queue, its outbox, and what the sending loops say of themselves."""

from delivery.models.edge_counts import Greylisting, SharedCount
from delivery.models.heartbeat import WorkerHeartbeat
from delivery.models.notices import NoticeTally
from delivery.models.outbox import DeliveryEvent, RefusalTally, ServiceEvent, TenantUsage
from delivery.models.paths import OpaquePath
from delivery.models.pulse import ServicePulse
from delivery.models.quarantine import QuarantineDigest
from delivery.models.queue import ClockTimestamp, Content, Delivery, Message
from delivery.models.retention import RetentionRun

__all__ = [
    "ClockTimestamp",
    "Content",
    "Delivery",
    "DeliveryEvent",
    "Greylisting",
    "Message",
    "NoticeTally",
    "OpaquePath",
    "QuarantineDigest",
    "RefusalTally",
    "RetentionRun",
    "ServiceEvent",
    "ServicePulse",
    "SharedCount",
    "TenantUsage",
    "WorkerHeartbeat",
]
