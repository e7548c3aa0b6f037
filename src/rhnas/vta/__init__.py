"""The VTA platform: configuration, rules, cost model, program and hardware."""
