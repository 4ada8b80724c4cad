// Test-only: the implementation that Kubernetes' CronJob uses, to compare ours with (tests/e2e/test_cron.py).
module memdiag.io/cron-oracle

go 1.21

require github.com/robfig/cron/v3 v3.0.1
