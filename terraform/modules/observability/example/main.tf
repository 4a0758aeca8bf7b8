module "observability" {
  source = "../"

  project_id          = "example-project"
  project_number      = "123456789012"
  region              = "europe-west1"
  notification_emails = ["operations@example.com"]

  watched = {
    api           = { name = "image-api", max_instances = 4 }
    processor     = { name = "image-processor", max_instances = 4 }
    job_name      = "image-migrate"
    database      = { instance_name = "image-manager-k3f9", max_connections = 100 }
    subscriptions = { uploads = "image-uploads-push", analyses = "image-analyses-push", dead_letters = "image-dead-letters-pull" }
    api_host      = "images.example.com"
  }
}
