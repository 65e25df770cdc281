#!/usr/bin/env python3
"""Use a blog's editor with Chromium: ADDRESS NAME PASSWORD TITLE PICTURE; print what was seen as JSON.

Runs on the machine with the browser. The browser takes the name for the address, without DNS, and accepts the
certificate, which no authority has issued.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

TIMEOUT = 30.0


def main(address: str, name: str, password: str, title: str, picture: str) -> dict[str, object]:
    """Log in, publish a post with a picture, look at it as a reader does, and read the feed."""
    options = webdriver.ChromeOptions()
    for switch in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "ignore-certificate-errors"):
        options.add_argument(f"--{switch}")
    options.add_argument(f"--host-resolver-rules=MAP {name} {address}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        wait = WebDriverWait(driver, TIMEOUT)
        # By HTTP, as somebody types it.
        driver.get(f"http://{name}/admin/login")
        login = driver.current_url
        driver.find_element(By.NAME, "username").send_keys("admin")
        driver.find_element(By.NAME, "password").send_keys(password)
        driver.find_element(By.CSS_SELECTOR, "main form button").click()
        wait.until(lambda there: there.current_url.rstrip("/").endswith("/admin"))
        cookies = [{key: one.get(key) for key in ("name", "secure", "httpOnly")} for one in driver.get_cookies()]

        driver.get(f"https://{name}/admin/posts/new")
        driver.find_element(By.NAME, "title").send_keys(title)
        driver.find_element(By.NAME, "body").send_keys("A text with **strong** words.")
        driver.find_element(By.NAME, "picture").send_keys(picture)
        driver.execute_script("document.getElementsByName('published')[0].checked = true")
        driver.find_element(By.CSS_SELECTOR, "form.editor button").click()
        wait.until(lambda there: "/posts/" in there.current_url and "/admin/" not in there.current_url)
        driver.delete_all_cookies()
        driver.refresh()
        post = driver.current_url
        widths = driver.execute_script("return [...document.images].map(one => one.complete && one.naturalWidth)")
        strong = [one.text for one in driver.find_elements(By.TAG_NAME, "strong")]
        styled = driver.execute_script("return [...document.styleSheets].map(one => one.cssRules.length)")
        driver.save_screenshot("/root/post.png")
        complaints = [one["message"] for one in driver.get_log("browser")]
        driver.get(f"https://{name}/feed.xml")
        return {
            "login": login,
            "cookies": cookies,
            "post": post,
            "widths": widths,
            "strong": strong,
            "styled": styled,
            "feed": driver.page_source,
            "complaints": complaints,
        }
    finally:
        driver.quit()


if __name__ == "__main__":
    Path("/root/seen.json").write_text(json.dumps(main(*sys.argv[1:])))
