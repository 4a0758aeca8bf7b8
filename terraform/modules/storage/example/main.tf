module "storage" {
  source = "../"

  project_id            = "example-project"
  location              = "EUROPE-WEST1"
  name_prefix           = "example-project"
  direct_upload_origins = ["https://photos.example.com"]
}
