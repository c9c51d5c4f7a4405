"""The app that the lessons build up to: `uvicorn course_app.main:app --reload`."""

from fastapi import BackgroundTasks, FastAPI

from course_app import tasks

app = FastAPI(title="Background work")
app.state.sent = tasks.sent


@app.post("/email/{email}")
def send_email(email: str, background_tasks: BackgroundTasks, message: str = "") -> dict[str, str]:
    """Answer at once; the notification is sent after the response."""
    background_tasks.add_task(tasks.write_notification, email, message=message)
    return {"message": f"A notification to {email} is on its way."}


@app.get("/sent")
def read_sent() -> list[str]:
    """The addresses notified since the app started."""
    return list(app.state.sent)
