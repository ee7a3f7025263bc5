"""Combines faults."""

from crawler.sandbox.answers import Answer, Answerer, Fault, Request


def chained(*faults: Fault) -> Fault:
    """Return one fault that applies all of these: the first one sees the request first and the answer last."""

    def respond(request: Request, answer: Answerer) -> Answer:
        for fault in reversed(faults):
            answer = _with(fault, answer)
        return answer(request)

    return respond


def _with(fault: Fault, answer: Answerer) -> Answerer:
    return lambda request: fault(request, answer)
