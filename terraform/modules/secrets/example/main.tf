module "secrets" {
  source = "../"

  project_id = "example-project"
  region     = "europe-west1"
  secrets    = { image-manager-admin-key = "The first admin key." }
}
