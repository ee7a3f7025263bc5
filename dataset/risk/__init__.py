"""How many people a table singles out: what somebody who knows a few of their rows could find."""
