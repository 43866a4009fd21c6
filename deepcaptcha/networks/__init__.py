"""The networks: architecture, variants, build, digits, captcha, recipes."""
