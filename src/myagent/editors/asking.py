"""What is asked of people, as ACP has it: permission requests and an agent's questions; and what was answered."""

from __future__ import annotations

from typing import Any, Literal, get_args

from myagent.core.messages import DecisionBody, Option, PermissionRequest, Question, QuestionOutcome
from myagent.editors.rpc import JSON
from myagent.editors.schema import Kind

ALLOW = Option("myagent:allow", "Allow", "allow_once")  # where the agent offers no answers of its own
DENY = Option("myagent:deny", "Deny", "reject_once")
_ANSWERS = ("allow_once", "allow_always", "reject_once", "reject_always")
_OWN = (ALLOW.option_id, DENY.option_id)

DISMISSED = "the editor dismissed the question"
UNANSWERABLE = "the editor answered with something else than one of the options"


def offered(event: PermissionRequest) -> tuple[Option, ...]:
    """The answers that an editor is given to choose from: the agent's, as far as they are ones; deny always."""
    options = tuple(each for each in event.request.options if each.kind in _ANSWERS)
    if not any(each.kind.startswith("allow") for each in options):
        options = (ALLOW, *options) if not event.request.options else options
    return options if any(each.kind.startswith("reject") for each in options) else (*options, DENY)


def asked(event: PermissionRequest, call_id: str) -> JSON:
    """The params of `session/request_permission`: everything that a human must read before deciding is in it."""
    request = event.request
    odd = [f"look twice: {', '.join(request.flags)}"] if request.flags else []
    reason = [request.reason] if request.reason else []
    texts = [*odd, *reason, request.display]
    content: list[JSON] = [
        {"type": "content", "content": {"type": "text", "text": text}} for text in texts if text.strip()
    ]
    content += [
        {"type": "diff", "path": diff.path, "newText": diff.new_text}
        | ({} if diff.old_text is None else {"oldText": diff.old_text})
        for diff in request.diffs
    ]
    facts = {"permissionRequestId": event.permission_request_id, "digest": request.digest}
    return {
        "sessionId": event.session_id,
        "toolCall": {
            "toolCallId": call_id,
            "title": request.title or request.tool_name,
            "kind": request.kind if request.kind in get_args(Kind) else "other",
            "status": "pending",
            "content": content,
            "rawInput": request.input,
        },
        "options": [{"optionId": each.option_id, "name": each.name, "kind": each.kind} for each in offered(event)],
        "_meta": {"myagent": {**facts, "flags": list(request.flags), "expiresAt": request.expires_at}},
    }


def decision(event: PermissionRequest, result: Any) -> DecisionBody:
    """What an editor's answer decides; whatever is unexpected is a deny."""
    digest = event.request.digest or None
    match result:
        case {"outcome": {"outcome": "selected", "optionId": str(chosen)}}:
            for option in offered(event):
                if option.option_id == chosen:
                    kind: Literal["allow", "deny"] = "allow" if option.kind.startswith("allow") else "deny"
                    return DecisionBody(kind, option_id=None if chosen in _OWN else chosen, digest=digest)
        case {"outcome": {"outcome": "cancelled"}}:
            return DecisionBody("deny", reason=DISMISSED, digest=digest)
    return DecisionBody("deny", reason=UNANSWERABLE, digest=digest)


def elicited(event: Question) -> JSON:
    """The params of `elicitation/create`."""
    facts: JSON = {"questionId": event.question_id, "flags": list(event.flags), "expiresAt": event.expires_at}
    params: JSON = {"sessionId": event.session_id, "message": event.message, "_meta": {"myagent": facts}}
    if event.url is not None:
        return {**params, "mode": "url", "url": event.url, "elicitationId": event.question_id}
    return {**params, "mode": "form", "requestedSchema": event.schema or {"type": "object", "properties": {}}}


def answer(event: Question, result: Any) -> tuple[QuestionOutcome, dict[str, Any] | None]:
    """What an editor answered; whatever is unexpected is `cancel`."""
    match result:
        case {"action": "accept", "content": dict(content)} if event.url is None:
            return "accept", content
        case {"action": "accept"}:
            return "accept", None
        case {"action": "decline"}:
            return "decline", None
    return "cancel", None
