"""What an outlook says of its own skill, in the words of the loop."""

from controller.state import Drift, Skill
from models import Outlook


def skill_of(outlook: Outlook) -> tuple[Skill, ...]:
    """Return the measured skill at every horizon."""
    return tuple(
        Skill(
            horizon,
            outlook.used[at],
            dict(outlook.loss[at]),
            outlook.scored[at],
            dict(outlook.weights[at]),
            Drift(outlook.drift[at].alarm, outlook.drift[at].ratio, outlook.drift[at].severity),
        )
        for at, horizon in enumerate(outlook.horizons)
    )
