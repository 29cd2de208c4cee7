"""The tables: one file per concept."""

from jobs.models.advance import AdvancePrediction, AdvanceSource, WorldAdvance
from jobs.models.audit import LONGEST_TARGET, LONGEST_UNDO, AuditEntry, OperatorAction
from jobs.models.calendar import CampaignCalendar
from jobs.models.campaign import CampaignClock
from jobs.models.cron import CronFiring, CronTask, FiringOutcome, Misfire
from jobs.models.event import EventPolicy, EventQuestion, TriggerStep
from jobs.models.job import Job, first_id, new_job_id, numbered_key, unique_key_of
from jobs.models.job_action import JobAction
from jobs.models.main_api_check import MainApiCheck
from jobs.models.main_api_limits import MainApiLimits
from jobs.models.pause import Pause, PauseKind
from jobs.models.rollups import FailureGroup, FailureHour, OutcomeMinute
from jobs.models.schedule import ScheduleRow
from jobs.models.type_settings import TypeSettings
from jobs.models.world_clock import ClockState, WorldClock
from jobs.models.world_stop import StopPhase, WorldStop

__all__ = [
    "LONGEST_TARGET",
    "LONGEST_UNDO",
    "AdvancePrediction",
    "AdvanceSource",
    "AuditEntry",
    "CampaignCalendar",
    "CampaignClock",
    "ClockState",
    "CronFiring",
    "CronTask",
    "EventPolicy",
    "EventQuestion",
    "FailureGroup",
    "FailureHour",
    "FiringOutcome",
    "Job",
    "JobAction",
    "MainApiCheck",
    "MainApiLimits",
    "Misfire",
    "OperatorAction",
    "OutcomeMinute",
    "Pause",
    "PauseKind",
    "ScheduleRow",
    "StopPhase",
    "TriggerStep",
    "TypeSettings",
    "WorldAdvance",
    "WorldClock",
    "WorldStop",
    "first_id",
    "new_job_id",
    "numbered_key",
    "unique_key_of",
]
