"""An AWS for tests that tells the truth about SES domain identities and Route 53.

moto's server answers what it knows (STS, configuration sets and whatever else a test may ask). In front of it stands
this package, which answers what moto lacks: verification that really looks at the DNS, a virtual clock, Route 53's
refusals, faults, rate limits and a log of every request. Everything belongs to one AWS account, the account is chosen by
the access key, and so tests in one process never meet.
"""
