"""What the nodes answer to questions about the state, through the SDK."""

import asyncio

from oyez import AsyncClient, OyezError
from tests.chaos.deployment import Deployment
from tests.chaos.population import CHANNELS
from tests.chaos.states import Answers

__all__ = ["ask_all"]


async def ask_all(deployment: Deployment) -> tuple[list[Answers], list[str]]:
    """The answers of all nodes, and what they did not answer."""
    asked = [_ask(node, api) for node, api in enumerate(deployment.apis)]
    answers: list[Answers] = []
    failures: list[str] = []
    for node, outcome in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
        if isinstance(outcome, Answers):
            answers.append(outcome)
        elif isinstance(outcome, OyezError):
            failures.append(f"node {node} does not answer: {outcome}")
        else:
            raise outcome
    return answers, failures


async def _ask(node: int, api: AsyncClient) -> Answers:
    answers = Answers(node, set((await api.channels())["channels"]))
    for channel in CHANNELS:
        if channel.startswith("presence-"):
            found = await api.channel(channel, ["subscription_count", "user_count"])
            answers.user_counts[channel] = found.get("user_count", 0)
            users = (await api.users(channel))["users"]
            answers.users[channel] = [user["id"] for user in users]
        else:
            found = await api.channel(channel, "subscription_count")
        answers.counts[channel] = found.get("subscription_count", 0)
    return answers
