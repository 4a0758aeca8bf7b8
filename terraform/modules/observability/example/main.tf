module "observability" {
  source = "../"

  project_id          = "example-project"
  project_number      = "123456789012"
  region              = "europe-west1"
  notification_emails = ["operations@example.com"]

  watched = {
    api           = "image-api"
    processor     = "image-processor"
    services      = { image-api = { max_instances = 4 }, image-processor = { max_instances = 8 } }
    job_name      = "image-migrate"
    schedules     = ["image-sweep", "image-audit-retention"]
    database      = { instance_name = "image-manager-k3f9", max_connections = 100 }
    subscriptions = ["image-uploads-push", "image-analyses-push"]
    api_host      = "images.example.com"
  }
}
