"""What the API server's answers become, and who leads, against a server and a lease of the test's own."""

import asyncio
import copy

import pytest
from aiohttp import web

from tallystick.components.rollout_controller.adapters.kubernetes import ClusterError, ConflictError, KubernetesApi
from tallystick.components.rollout_controller.adapters.leadership import Leadership
from tallystick.components.rollout_controller.ports import RetryableError
from tallystick.components.rollout_controller.settings import Settings


class Login:
    def __init__(self, server: str) -> None:
        self.server = server

    def as_http_headers(self) -> dict[str, str]:
        return {"Authorization": "Bearer t"}

    def as_ssl_context(self) -> bool:
        return False


def _ask(status: int | None) -> object:
    """Ask for a deployment from a server that answers with this status, or from none at all."""

    async def ask() -> object:
        async def answer(request: web.Request) -> web.Response:
            assert request.headers["Authorization"] == "Bearer t"
            return web.json_response({"message": "because", "kind": "SeldonDeployment"}, status=status)

        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        if status is None:
            await runner.cleanup()
        api = KubernetesApi(lambda: Login(f"http://127.0.0.1:{port}"), timeout_s=5.0)
        try:
            return await api.deployment("bank", "credit")
        finally:
            await api.close()
            await runner.cleanup()

    return asyncio.run(ask())


def test_an_object_is_itself_and_a_missing_one_is_none():
    assert _ask(200) == {"message": "because", "kind": "SeldonDeployment"}
    assert _ask(404) is None


@pytest.mark.parametrize("status", [None, 401, 409, 429, 500, 503, 504])
def test_what_may_pass_is_retryable(status):
    with pytest.raises(RetryableError) as raised:
        _ask(status)
    assert isinstance(raised.value, ConflictError) == (status == 409)


@pytest.mark.parametrize("status", [400, 403, 422])
def test_what_was_refused_for_good_says_why_and_is_not_retryable(status):
    with pytest.raises(ClusterError, match=f"{status} because"):
        _ask(status)


class Leases:
    """A lease in memory with the API server's conflict rule."""

    def __init__(self) -> None:
        self.kept: dict | None = None
        self.broken = False

    async def lease(self, namespace: str, name: str) -> dict | None:
        if self.broken:
            raise RetryableError("away")
        return copy.deepcopy(self.kept)

    async def write_lease(self, lease: dict) -> dict:
        if self.broken:
            raise RetryableError("away")
        seen = lease["metadata"].get("resourceVersion")
        current = self.kept["metadata"]["resourceVersion"] if self.kept else None
        if seen != current:
            raise ConflictError("changed")
        self.kept = copy.deepcopy(lease)
        self.kept["metadata"]["resourceVersion"] = str(int(current or 0) + 1)
        return self.kept


def _candidate(leases: Leases, name: str) -> Leadership:
    return Leadership(leases, Settings(server_image="", identity=name, lease_s=2.0, renew_s=0.1))


def test_one_of_two_leads_and_the_other_takes_over_when_it_stops_renewing():
    async def play() -> None:
        leases = Leases()
        first, second = _candidate(leases, "first"), _candidate(leases, "second")
        await asyncio.wait_for(first.acquire(), 1.0)
        waiting = asyncio.create_task(second.acquire())
        renewing = asyncio.create_task(first.hold())
        await asyncio.sleep(2.6)
        assert not waiting.done()
        renewing.cancel()
        await asyncio.wait_for(waiting, 10.0)
        assert leases.kept["spec"]["holderIdentity"] == "second"

    asyncio.run(play())


def test_a_leader_that_cannot_renew_stops_before_its_time_is_over():
    async def play() -> float:
        leases = Leases()
        leader = _candidate(leases, "first")
        await leader.acquire()
        leases.broken = True
        start = asyncio.get_running_loop().time()
        await asyncio.wait_for(leader.hold(), 5.0)
        return asyncio.get_running_loop().time() - start

    assert asyncio.run(play()) < 2.0


def test_leadership_that_is_given_up_is_free_at_once():
    async def play() -> None:
        leases = Leases()
        first, second = _candidate(leases, "first"), _candidate(leases, "second")
        await first.acquire()
        await first.release()
        await asyncio.wait_for(second.acquire(), 0.5)

    asyncio.run(play())
