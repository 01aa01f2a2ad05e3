"""Console pages of early warning: warnings, risk map, models and features, alarm analytics; a strip on the overview."""

from __future__ import annotations

from anlan.warn.page_features import features
from anlan.warn.page_floods import floods
from anlan.warn.page_live import WarnFeed
from anlan.warn.page_models import models
from anlan.warn.page_risk import risk
from anlan.warn.page_warning import warning
from anlan.warn.page_warnings import warnings
from anlan.web.components import live
from anlan.web.registry import Widget
from anlan.web.shell import View, page_spec

GROUP = "group_warn"


def strip(_view: View) -> None:
    """Draw the overview's strip: open warnings by grade, the soonest predicted alarms, places in red."""
    live("warnstrip", "warnstrip an-live")


PAGES = (
    page_spec("/warnings", "warnings", warnings, icon="online_prediction", order=52, group=GROUP),
    page_spec("/warnings/{identity}", "warning", warning, order=53, group=GROUP),
    page_spec("/risk", "risk", risk, icon="layers", order=54, group=GROUP),
    page_spec("/models", "models", models, icon="model_training", order=55, group=GROUP),
    page_spec("/features", "features", features, order=56, group=GROUP),
    page_spec("/floods", "floods", floods, icon="troubleshoot", order=57, group=GROUP),
)


def register() -> None:
    """Add the pages, their part of the live frame and the overview's strip to the console."""
    from anlan.web.registry import register_feed, register_page, register_widget

    for page in PAGES:
        register_page(page)
    register_feed("warn", WarnFeed)
    register_widget(Widget("overview", "warnings", strip, order=10))
