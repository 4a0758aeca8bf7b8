"""The routes of the pages for those who run the system, and of the table of submissions, where `/admin` leads."""

from image_api.console.pages.admin import audit, dead_letters, health, submissions, users

ADMIN_ROUTERS = (submissions.router, audit.router, dead_letters.router, health.router, users.router)
