module "events" {
  source = "../"

  project_id = "example-project"
  region     = "europe-west1"

  push = {
    service_url           = "https://image-processor-abc-ew.a.run.app"
    audience              = "https://image-processor.example-project.internal"
    service_account_email = "image-push@example-project.iam.gserviceaccount.com"
    ack_deadline_seconds  = 330
  }

  tasks = {
    service_url = "https://image-tasks-abc-ew.a.run.app"
    audience    = "https://image-tasks.example-project.internal"
  }
}
