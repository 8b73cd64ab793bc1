"""A session as clients are told it."""

from __future__ import annotations

from myagent.core.display import shortened
from myagent.core.messages import Metadata, QueuedPrompt
from myagent.core.session import Session

SHORT_PROMPT = 200  # characters of a waiting prompt


def metadata(session: Session, head: int) -> Metadata:
    """`head` is the log's: the `seq` of the session's last event."""
    return Metadata(
        version=1,
        session_id=session.session_id,
        cwd=session.cwd,
        created_at=session.created_at,
        updated_at=session.updated_at,
        state=session.state,
        write_ids=list(session.write_ids),
        agent_session_id=session.agent_session_id,
        last_request_id=session.last_request_id,
        last_exit_code=session.last_exit_code,
        last_error=session.last_error,
        title=session.name or session.agent_state.get("title") or session.title,
        agent=session.agent,
        mode=session.mode,
        queue=[QueuedPrompt(turn.id, shortened(turn.prompt, SHORT_PROMPT)) for turn in session.queue],
        head=head,
        agent_state=session.agent_state or None,
        archived=session.archived,
    )
