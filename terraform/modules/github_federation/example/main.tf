module "github_federation" {
  source = "../"

  project_id = "example-project"

  repository = {
    repository_id       = "123456789"
    repository_owner_id = "987654"
  }

  environments = {
    apply  = "infra-dev"
    deploy = "dev"
  }

  deploy_ref = "refs/heads/main"
}
