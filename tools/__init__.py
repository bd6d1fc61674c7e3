"""How a person uses the machines: command line, Python facade, reports.

Read in this order: `session` (the one path from a request to a report), `jobs` (a kernel or a file
as something to run), `runreport` (what comes back), `record` (JSON), `report` (the page), then
`cli` and `verbs` (the command line on top).
"""
