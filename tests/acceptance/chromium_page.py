"""What tests do with a page of the console: sign in, wait, and listen to what goes wrong."""

import asyncio
from typing import Any


async def sign_in(page: Any, url: str, api_key: str, path: str = "/console/images") -> None:
    """Sign in with an API key, and arrive at a page of the console."""
    await page.goto(f"{url}/console/sign-in?next={path}")
    await page.get_by_label("API key", exact=True).fill(api_key)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{url}{path}")


async def new_signed_in_page(
    chromium: Any, url: str, api_key: str, path: str = "/console/images", **options: Any
) -> Any:
    """A page of the console, in a browser context of its own."""
    context = await chromium.new_context(reduced_motion="reduce", **options)
    page = await context.new_page()
    await sign_in(page, url, api_key, path)
    return page


async def wait_until_true(page: Any, condition: str, arg: Any = None) -> None:
    """Ask the page until a condition in JavaScript holds.

    Playwright's `wait_for_function` evaluates text within the page, which the console's policy forbids: it raises
    unless the condition holds when it is asked first.

    Raises:
        TimeoutError: it does not hold after 30 seconds.
    """
    from playwright.async_api import Error

    async with asyncio.timeout(30):
        while True:
            try:
                if await page.evaluate(condition, arg):
                    return
            except Error as error:
                # The page was left while it was asked.
                if "context was destroyed" not in str(error):
                    raise
            await asyncio.sleep(0.05)


def listen_for_errors(page: Any) -> list[str]:
    """What is raised on the page from now on, and what its policy forbids."""
    errors: list[str] = []
    page.on("console", lambda line: errors.append(line.text) if "Policy" in line.text else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors
