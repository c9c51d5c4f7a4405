"""The app that the lessons build up to: `uvicorn course_app.main:app --reload`."""

from fastapi import BackgroundTasks, FastAPI

from course_app import jobs, reports_api, tasks
from course_app.dependencies import Query

app = FastAPI(title="Background work")
app.state.sent = tasks.sent


@app.post("/email/{email}")
def send_email(email: str, background_tasks: BackgroundTasks, message: str = "") -> dict[str, str]:
    """Answer at once; the notification is sent after the response."""
    background_tasks.add_task(tasks.write_notification, email, message=message)
    return {"message": f"A notification to {email} is on its way."}


@app.post("/email_depends/{email}")
def send_email_depends(
    email: str, background_tasks: BackgroundTasks, q: Query
) -> dict[str, str | None]:
    """Answer at once; the lines about the query and the message are logged after the response."""
    background_tasks.add_task(tasks.write_log, f"message to {email}")
    return {"message": f"A message to {email} is on its way.", "query": q}


@app.get("/sent")
def read_sent() -> list[str]:
    """The addresses notified since the app started."""
    return list(app.state.sent)


app.include_router(jobs.router)
app.include_router(reports_api.router)
